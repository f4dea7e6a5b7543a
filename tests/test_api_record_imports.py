"""Imports go over manual edits, and keep the ids that people and other systems know (I5)."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.constants import EmployeeStatus
from app.models import Run
from app.services import run_reporting
from tests.support.api import HERE, Api, problem
from tests.support.imports import certification, empty_pdf, endorsement, row, select, succeed, write_file
from tests.support.records import (
    CODE,
    LICENCE,
    add_certification,
    add_endorsement,
    content,
    hire,
)

MATHEMATICS = {
    "EndorsementCode": "11",
    "EndorsementDescription": "Mathematics",
    "EndorsementIssueDate": "07/01/2025",
    "EndorsementExpirationDate": "06/30/2099",
    "Limitation": "Grades 7-12",
}


@pytest.fixture(autouse=True)
def no_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)


async def import_licence(api: Api, directory: Path, **more: str) -> Run:
    """Import a file in which E1 holds L1 with mathematics, as `LICENCE` and `CODE` say, but for `more`."""
    rows = [row("1", "Smith", "Ann", **{**MATHEMATICS, **more})]
    return await succeed(api.factory, write_file(directory, rows), HERE)


async def ids(api: Api) -> list[list[str]]:
    """The public ids of all certifications, and of all endorsements."""
    return [
        [str(found["public_id"]) for found in await select(api.factory, sa.select(table.c.public_id))]
        for table in (certification, endorsement)
    ]


async def both(api: Api) -> tuple[dict[str, Any], dict[str, Any]]:
    """The one certification and the one endorsement there are."""
    [[licence], [code]] = await ids(api)
    return (await api.get(f"/certifications/{licence}")).json(), (
        await api.get(f"/endorsements/{code}")
    ).json()


async def test_an_import_takes_up_what_was_added_by_hand(api: Api, tmp_path: Path) -> None:
    await hire(api, "E1")
    text = {"license_number": "  L1", "license_type": "Level \t II"}
    licence = await add_certification(api, **text, status="udr", issue_date=None)
    code = await add_endorsement(api, licence, code=" 11 ", description="By hand", primary=True)
    run = await import_licence(api, tmp_path, LicenseNumber="L1 ", LicenseType="Level  II")
    marks = {"source": "import", "run_id": str(run.id), "updated_by": run.run_by}
    now, code_now = await both(api)
    for old, new, wanted in ((licence, now, LICENCE), (code, code_now, CODE | {"primary": True})):
        assert new["id"] == old["id"]
        assert content(new, *wanted, *marks) == wanted | marks
        assert new["version"] > old["version"]


async def test_an_import_goes_over_changes(api: Api, tmp_path: Path) -> None:
    await hire(api, "E1")
    await import_licence(api, tmp_path)
    licence, code = await both(api)
    for path, change in (
        (f"/certifications/{licence['id']}", {"status": "EXP", "expiration_date": "2025-07-02"}),
        (f"/endorsements/{code['id']}", {"limitation": None, "issue_date": None}),
        (f"/endorsements/{code['id']}", {"primary": True}),
    ):
        assert (await api.call("PATCH", path, change)).status_code == 200
    run = await import_licence(api, tmp_path)
    for old, new in zip((licence, code), await both(api), strict=True):
        changed = content(new, "run_id", "updated_at", "version") | ({"primary": True} if old == code else {})
        assert new == old | changed
        assert (new["source"], new["run_id"]) == ("import", str(run.id))
        assert new["version"] > old["version"]


async def test_an_import_brings_back_what_was_deleted(api: Api, tmp_path: Path) -> None:
    await hire(api, "E1")
    await import_licence(api, tmp_path)
    before = await both(api)
    assert (await api.call("DELETE", f"/certifications/{before[0]['id']}")).status_code == 204
    assert await ids(api) == [[], []]
    await import_licence(api, tmp_path)
    for old, new in zip(before, await both(api), strict=True):
        assert new == old | content(new, "run_id", "updated_at", "version")
        assert new["version"] > old["version"]


async def test_an_import_removes_what_the_state_does_not_list(api: Api, tmp_path: Path) -> None:
    await hire(api, "E1")
    await hire(api, "E9", status=EmployeeStatus.TERMINATED)
    kept = await add_certification(api, employee_number="E9")
    kept_code = await add_endorsement(api, kept)
    own = await add_certification(api, license_number="L2")
    await add_endorsement(api, own)
    await import_licence(api, tmp_path)
    listed, listed_codes = await ids(api)
    assert len(listed) == len(listed_codes) == 2
    assert (kept["id"] in listed, own["id"] in listed, kept_code["id"] in listed_codes) == (True, False, True)
    assert (await api.get(f"/certifications/{kept['id']}")).json() == kept
    problem(await api.get(f"/certifications/{own['id']}"), 404, "not-found")
