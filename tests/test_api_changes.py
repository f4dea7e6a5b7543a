"""The list of changes and previews over HTTP: asked for, linked, exported."""

import csv
import io
from typing import Any
from uuid import UUID

from app.constants import FindingKind, RunKind, RunStatus
from app.models import Run, RunFinding
from tests.support.api import HERE, THERE, Api, problem
from tests.support.runs import ended_run, inactive_task, running

LICENCE = {"record": "certification", "license_number": "-1", "license_type": "Level II", "code": None}
ENDORSEMENT = LICENCE | {"record": "endorsement", "code": "2-05"}
CHANGES: list[dict[str, Any]] = [
    {
        "employee_number": "=1001",
        "last_name": "O'Brien, Jr.",
        "first_name": "Anne",
        "added": [
            {
                **ENDORSEMENT,
                "id": "1",
                "description": "English",
                "issue_date": "2025-07-01",
                "expiration_date": None,
                "limitation": "@home; or away",
                "primary": True,
                "manual_edit": {"by": "+hr", "at": "2026-11-19T15:04:05Z"},
            }
        ],
        "changed": [
            {
                **LICENCE,
                "id": "2",
                "fields": {
                    "status": {"old": "ACT", "new": "=1+1"},
                    "expiration_date": {"old": None, "new": "2029-06-30"},
                },
                "manual_edit": None,
            },
            {
                **ENDORSEMENT,
                "id": "3",
                "fields": {"primary": {"old": True, "new": False}},
                "manual_edit": {"by": "hr", "at": "2026-11-19T15:04:05Z"},
            },
        ],
        "removed": [],
    },
    {
        "employee_number": "1002",
        "last_name": "Roy",
        "first_name": "Luc",
        "added": [],
        "changed": [],
        "removed": [
            {
                **LICENCE,
                "id": "4",
                "status": "ACT",
                "issue_date": None,
                "expiration_date": "2026-06-30",
                "manual_edit": None,
            },
            {
                **ENDORSEMENT,
                "id": "5",
                "description": None,
                "issue_date": None,
                "expiration_date": None,
                "limitation": None,
                "primary": False,
                "manual_edit": None,
            },
        ],
    },
]
HEADER = (
    "employee_number,last_name,first_name,change,record,license_number,license_type,code,field,old,new,"
    "manual_edit_by,manual_edit_at"
)


def change(of: Run, item: dict[str, Any], **values: Any) -> RunFinding:
    common: dict[str, Any] = {
        "district_id": of.district_id,
        "run_id": of.id,
        "attempt": of.attempt,
        "data": item,
    }
    return RunFinding(**common | {"kind": FindingKind.CHANGE} | values)


async def test_a_preview_is_a_run_of_its_kind(api: Api) -> None:
    await api.add(stored := inactive_task())
    response = await api.call("POST", f"/tasks/{stored.id}/run", {"kind": "preview", "accept_shrink": True})
    assert response.status_code == 202
    body = response.json()
    assert (body["kind"], body["status"], body["links"]["changes_csv"]) == ("preview", "waiting", None)
    kept = await api.factory.runs.get(HERE, UUID(body["id"]))
    assert (kept.kind, kept.accept_shrink) == (RunKind.PREVIEW, True)
    again = await api.call("POST", f"/tasks/{stored.id}/run", {"kind": "preview"})
    assert problem(again, 409, "run-in-progress")["run_id"] == body["id"]


async def test_changes_are_exported_line_by_line(api: Api) -> None:
    stored = ended_run(kind=RunKind.PREVIEW, attempt=2)
    await api.add(stored)
    await api.add(
        change(stored, {"of": "an attempt that died"}, attempt=1),
        *(change(stored, item) for item in CHANGES),
    )
    link = (await api.get(f"/runs/{stored.id}")).json()["links"]["changes_csv"]
    assert link == f"/api/v1/runs/{stored.id}/changes.csv"
    response = await api.get(link.removeprefix("/api/v1"))
    assert response.headers["content-type"].startswith("text/csv")
    header, *lines = csv.reader(io.StringIO(response.text))
    assert ",".join(header) == HEADER
    # What a spreadsheet would run as a formula is made text.
    anne, luc = ["'=1001", "O'Brien, Jr.", "Anne"], ["1002", "Roy", "Luc"]
    licence, endorses = ["certification", "'-1", "Level II", ""], ["endorsement", "'-1", "Level II", "2-05"]
    said = "issue date: 2025-07-01; description: English; limitation: @home; or away; primary: yes"
    gone = "status: ACT; expiration date: 2026-06-30"
    at = "2026-11-19T15:04:05Z"
    assert lines == [
        [*anne, "added", *endorses, "", "", said, "'+hr", at],
        [*anne, "changed", *licence, "status", "ACT", "'=1+1", "", ""],
        [*anne, "changed", *licence, "expiration_date", "", "2029-06-30", "", ""],
        [*anne, "changed", *endorses, "primary", "yes", "no", "hr", at],
        [*luc, "removed", *licence, "", gone, "", "", ""],
        [*luc, "removed", *endorses, "", "", "", "", ""],
    ]


async def test_json_has_the_list_whole_and_says_first_that_nothing_was_changed(api: Api) -> None:
    preview, imported = ended_run(kind=RunKind.PREVIEW), ended_run()
    await api.add(preview, imported)
    await api.add(*(change(preview, item) for item in CHANGES))
    response = await api.get(f"/runs/{preview.id}/report.json")
    assert response.text.startswith('{"notice": "This was a preview. Nothing was changed."')
    assert response.json()["run"]["kind"] == "preview"
    assert response.json()["lists"]["changes"] == {"total": 2, "items": CHANGES}
    report = (await api.get(f"/runs/{imported.id}/report.json")).json()
    assert report["notice"] is None
    assert report["lists"]["changes"] == {"total": 0, "items": []}
    assert (await api.get(f"/runs/{imported.id}/changes.csv")).text.splitlines() == [HEADER]


async def test_what_did_not_end_well_changed_nothing(api: Api) -> None:
    """A run that failed has no list of changes, whatever it wrote before."""
    for status, kind, told in (
        (RunStatus.FAILED, RunKind.IMPORT, "The import failed. Nothing was changed."),
        (RunStatus.FAILED, RunKind.PREVIEW, "The preview failed. Nothing was changed."),
        (RunStatus.CANCELLED, RunKind.IMPORT, "The import was cancelled. Nothing was changed."),
    ):
        stored = ended_run(status, kind=kind)
        await api.add(stored)
        await api.add(change(stored, CHANGES[0]))
        report = (await api.get(f"/runs/{stored.id}/report.json")).json()
        assert report["notice"] == told
        assert "changes" not in report["lists"]
        assert (await api.get(f"/runs/{stored.id}/changes.csv")).text.splitlines() == [HEADER]


async def test_changes_are_there_when_the_run_has_ended_and_for_its_district(api: Api) -> None:
    await api.add(waiting := running(), theirs := ended_run())
    response = await api.get(f"/runs/{waiting.id}/changes.csv")
    problem(response, 404, "report-not-ready")
    assert int(response.headers["Retry-After"]) > 0
    assert (await api.get(f"/runs/{waiting.id}")).json()["links"]["changes_csv"] is None
    problem(await api.get(f"/runs/{theirs.id}/changes.csv", district=THERE), 404, "not-found")
