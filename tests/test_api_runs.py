"""Runs over HTTP: started, followed, and read."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.constants import FindingKind, Role, RunKind, RunPhase, RunStatus, RunTrigger, TaskStatus
from app.models import Run, RunFinding, Task
from app.storage.run_reports import report_key
from app.storage.runs import error_log_place
from tests.support.api import HERE, THERE, Api, places, problem

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FILES = ("report.pdf", "report.json", "skipped.csv", "rejected.csv", "changes.csv")


def task(**values: Any) -> Task:
    common: dict[str, Any] = {
        "district_id": HERE,
        "description": "Licences",
        "status": TaskStatus.INACTIVE,
        "version": 1,
    }
    return Task(
        **common
        | {"timezone": "America/New_York", "created_by": "a", "updated_by": "a", "scheduled_by": "a"}
        | values
    )


def run(**values: Any) -> Run:
    common: dict[str, Any] = {
        "district_id": HERE,
        "task_description": "Licences",
        "kind": RunKind.IMPORT,
        "trigger": RunTrigger.RUN_NOW,
        "scheduled_start": NOW,
        "run_by": "kmarsh",
    }
    return Run(**common | values)


def ended(**values: Any) -> Run:
    common = {
        "status": RunStatus.SUCCEEDED,
        "attempt": 2,
        "actual_start": NOW,
        "ended_at": NOW,
        "progress": 100,
    }
    return run(**common | {"phase": RunPhase.REPORT, "summary": {"rows_read": 0}} | values)


def finding(of: Run, kind: FindingKind, data: dict[str, Any], **values: Any) -> RunFinding:
    common: dict[str, Any] = {"district_id": of.district_id, "run_id": of.id, "attempt": of.attempt}
    return RunFinding(**common | {"kind": kind, "data": data} | values)


async def test_run_now_commits_a_waiting_run_that_names_its_user(api: Api) -> None:
    await api.add(stored := task())
    response = await api.call("POST", f"/tasks/{stored.id}/run")
    assert response.status_code == 202
    body = response.json()
    assert response.headers["Location"] == f"/api/v1/runs/{body['id']}"
    assert {
        name: body[name] for name in ("task_id", "kind", "trigger", "status", "run_by", "late", "progress")
    } == {
        "task_id": str(stored.id),
        "kind": "import",
        "trigger": "run_now",
        "status": "waiting",
        "run_by": "kmarsh",
        "late": False,
        "progress": 0,
    }
    assert set(body["links"].values()) == {None}
    assert (await api.get(f"/runs/{body['id']}")).json() == body


async def test_second_run_now_answers_409_with_the_first(api: Api) -> None:
    await api.add(stored := task())
    first = (await api.call("POST", f"/tasks/{stored.id}/run", {"kind": "import"})).json()["id"]
    second = await api.call("POST", f"/tasks/{stored.id}/run")
    assert problem(second, 409, "run-in-progress")["run_id"] == first
    assert first in second.headers["Link"]
    assert len((await api.get("/runs")).json()["items"]) == 1


async def test_accept_shrink_is_kept_with_the_run(api: Api) -> None:
    await api.add(stored := task())
    started = await api.call("POST", f"/tasks/{stored.id}/run", {"accept_shrink": True})
    assert (await api.factory.runs.get(HERE, UUID(started.json()["id"]))).accept_shrink


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"kind": "dance"}, ["body", "kind"]),
        ({"accept_shrink": 1}, ["body", "accept_shrink"]),
        ({"shrink": True}, ["body", "shrink"]),
    ],
)
async def test_wrong_option_is_located(api: Api, body: dict[str, Any], place: list[str]) -> None:
    await api.add(stored := task())
    assert places(await api.call("POST", f"/tasks/{stored.id}/run", body)) == [place]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.HR, Role.OPS])
async def test_only_an_admin_starts_runs(api: Api, role: Role) -> None:
    await api.add(stored := task())
    problem(await api.call("POST", f"/tasks/{stored.id}/run", role=role), 403, "forbidden")
    problem(await api.call("POST", f"/tasks/{stored.id}/run", role=None), 401, "unauthorized")


async def test_nothing_of_another_district_is_there(api: Api) -> None:
    await api.add(stored := task(), theirs := ended(error_log_encrypted="x"))
    problem(await api.call("POST", f"/tasks/{stored.id}/run", district=THERE), 404, "not-found")
    for part in ("", *(f"/{name}" for name in FILES), "/error-log"):
        problem(await api.get(f"/runs/{theirs.id}{part}", district=THERE), 404, "not-found")
    assert (await api.get("/runs", district=THERE)).json() == {"items": [], "next_cursor": None}
    problem(await api.get(f"/runs/{uuid4()}"), 404, "not-found")
    problem(await api.call("POST", f"/tasks/{uuid4()}/run"), 404, "not-found")


async def test_runs_are_listed_newest_first_in_pages(api: Api) -> None:
    runs = [run(scheduled_start=NOW.replace(minute=minute)) for minute in range(5)]
    await api.add(*runs)
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"/runs?limit=2{cursor and f'&cursor={cursor}'}")).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [str(each.id) for each in reversed(runs)]


async def test_report_is_not_there_before_the_run_ends(api: Api) -> None:
    await api.add(waiting := run(status=RunStatus.IN_PROGRESS, owner=uuid4()))
    for name in FILES:
        response = await api.get(f"/runs/{waiting.id}/{name}")
        problem(response, 404, "report-not-ready")
        assert int(response.headers["Retry-After"]) > 0


async def test_pdf_may_come_after_the_rest(api: Api, tmp_path: Path) -> None:
    await api.add(stored := ended())
    links = (await api.get(f"/runs/{stored.id}")).json()["links"]
    assert (links["report_pdf"], links["error_log"]) == (None, None)
    assert links["report_json"] == f"/api/v1/runs/{stored.id}/report.json"
    problem(await api.get(f"/runs/{stored.id}/report.pdf"), 404, "report-not-ready")

    await api.add(other := ended(report_pdf="x", id=uuid4()))
    problem(await api.get(f"/runs/{other.id}/report.pdf"), 404, "not-found")
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-")
    await api.factory.files.put(path, report_key(other.id))
    assert (tmp_path / "reports" / f"{other.id}.pdf").read_bytes() == b"%PDF-"
    pdf = await api.get(f"/runs/{other.id}/report.pdf")
    assert (pdf.headers["content-type"], pdf.content) == ("application/pdf", b"%PDF-")
    part = await api.get(f"/runs/{other.id}/report.pdf", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PDF")


SKIPPED: dict[str, Any] = {
    "employee_number": "=1001",
    "state_staff_id": None,
    "last_name": "O'Brien, Jr.",
    "first_name": "-Anne",
    "disagrees": ["educator_id", "first_name"],
    "candidates": [
        {"educator_id": "7", "last_name": "O'Brien", "first_name": "@nn", "disagrees": ["first_name"]},
        {"educator_id": "8", "last_name": "O'Brien", "first_name": "Anne", "disagrees": ["educator_id"]},
    ],
    "more_candidates": 3,
}
REJECTED: dict[str, Any] = {
    "line": 7,
    "column": "LicenseIssueDate",
    "value": '+cmd|"x"',
    "reason": "not a date",
}


async def test_lists_of_the_last_attempt_are_exported_alike(api: Api) -> None:
    stored = ended()
    await api.add(stored)
    await api.add(
        finding(stored, FindingKind.SKIPPED, SKIPPED),
        finding(stored, FindingKind.SKIPPED, {"of": "an attempt that died"}, attempt=1),
        finding(stored, FindingKind.REJECTED, REJECTED),
        finding(stored, FindingKind.WARNING, {"text": "An older file."}),
    )
    report = (await api.get(f"/runs/{stored.id}/report.json")).json()
    assert report["lists"]["skipped"] == {"total": 1, "items": [SKIPPED]}
    assert report["lists"]["rejected"] == {"total": 1, "items": [REJECTED]}
    assert report["lists"]["expired"] == {"total": 0, "items": []}
    assert report["warnings"] == ["An older file."]
    assert report["run"]["end"] == "2026-11-22T12:00:00Z"
    assert report["summary"] == {"rows_read": 0}

    skipped = list(csv.DictReader(io.StringIO((await api.get(f"/runs/{stored.id}/skipped.csv")).text)))
    assert [row["file_educator_id"] for row in skipped] == ["7", "8"]
    # What a spreadsheet would run as a formula is made text.
    assert (skipped[0]["employee_number"], skipped[0]["first_name"]) == ("'=1001", "'-Anne")
    assert skipped[0]["file_first_name"] == "'@nn"
    assert skipped[0]["last_name"] == "O'Brien, Jr."
    rejected = list(csv.DictReader(io.StringIO((await api.get(f"/runs/{stored.id}/rejected.csv")).text)))
    assert rejected == [
        {"line": "7", "column": "LicenseIssueDate", "value": "'" + REJECTED["value"], "reason": "not a date"}
    ]


async def test_failed_run_tells_why_and_lists_what_was_wrong_with_the_file(api: Api) -> None:
    stored = ended(
        status=RunStatus.FAILED,
        summary=None,
        failure_code="too_many_rejected_rows",
        failure_message="Too many.",
        id=(run_id := uuid4()),
        error_log_encrypted=api.factory.cipher.encrypt("phase: connect\n", error_log_place(run_id)),
    )
    await api.add(stored)
    await api.add(
        finding(stored, FindingKind.REJECTED, REJECTED),
        finding(stored, FindingKind.MISSING, {"employee_number": "1"}),
    )
    body = (await api.get(f"/runs/{stored.id}")).json()
    assert body["failure"] == {"code": "too_many_rejected_rows", "message": "Too many."}
    report = (await api.get(f"/runs/{stored.id}/report.json")).json()
    assert set(report["lists"]) == {"skipped", "other_name", "rejected"}
    assert report["lists"]["rejected"]["total"] == 1
    log = await api.get(f"/runs/{stored.id}/error-log")
    assert (log.text, log.headers["content-type"]) == ("phase: connect\n", "text/plain; charset=utf-8")
    assert log.headers["content-disposition"].startswith('attachment; filename="error-log-')
    problem(await api.get(f"/runs/{stored.id}/error-log", role=Role.OPS), 403, "forbidden")


async def test_run_without_a_failed_connection_has_no_error_log(api: Api) -> None:
    await api.add(stored := ended())
    problem(await api.get(f"/runs/{stored.id}/error-log"), 404, "not-found")
