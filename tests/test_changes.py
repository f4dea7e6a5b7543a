"""The list of changes: what an import does to each record, and which edits by hand it goes over (I5, I14)."""

from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.constants import EmployeeStatus
from app.factory import Factory
from app.models import Run
from tests.support.by_hand import deletions, edit_table
from tests.support.change_lists import manual_edits
from tests.support.imports import (
    DISTRICT,
    add_district,
    employee,
    endorsement,
    lists,
    records,
    row,
    run_import,
    select,
    succeed,
    write,
    write_file,
)

ANN = employee("E1", "0007", "Smith", "Ann", legal_last_name="Smythe")
BO = employee("E2", "8", "Doe", "Bo")
ENGLISH = {
    "EndorsementCode": "2-05",
    "EndorsementDescription": "English",
    "EndorsementIssueDate": "07/01/2025",
}
HR = "hr.one"


def ann(number: str = "L1", **more: str) -> list[str]:
    return row("7", "Smythe", "Ann", number, **more)


def bo(number: str = "L9", **more: str) -> list[str]:
    return row("8", "Doe", "Bo", number, **more)


@pytest.fixture
async def district(factory: Factory) -> Factory:
    await factory.employees.put_all(DISTRICT, [ANN, BO])
    return factory


async def changes_of(factory: Factory, run: Run) -> list[dict[str, Any]]:
    return (await lists(factory, run)).get("change", [])


async def edits_of(factory: Factory, run: Run) -> list[tuple[str, str | None, str, str]]:
    """Which edits by hand a run lists as overwritten."""
    listed = (await lists(factory, run)).get("overwritten", [])
    return [(item["license_number"], item["code"], item["change"], item["updated_by"]) for item in listed]


async def ids(factory: Factory, district_id: str = DISTRICT) -> dict[Any, UUID]:
    """Public ids, of certifications by licence number, of endorsements by code and limitation."""
    found = await records(factory, district_id)
    licences = {item["license_number"]: item["public_id"] for item in found["certification"]}
    return licences | {(item["code"], item["limitation"]): item["public_id"] for item in found["endorsement"]}


async def test_every_kind_of_change_is_told_field_by_field(district: Factory, tmp_path: Path) -> None:
    before = [ann(**ENGLISH), ann("L2", LicenseIssueDate="", Limitation="Two", **ENGLISH), bo()]
    first = await succeed(district, write_file(tmp_path, before))
    old = await ids(district)
    changed = ann(
        LicenseStatus="UDR", LicenseExpirationDate="", Limitation="One", **ENGLISH | {"EndorsementCode": "3"}
    )
    description = ENGLISH | {"EndorsementDescription": "Literature", "EndorsementIssueDate": ""}
    run = await succeed(district, write_file(tmp_path, [changed, ann(LicenseStatus="UDR", **description)]))
    new = await ids(district)
    assert [item["employee_number"] for item in await changes_of(district, first)] == ["E1", "E2"]
    licence = {"record": "certification", "license_type": "Level II", "code": None}
    endorses = {"record": "endorsement", "license_type": "Level II"}
    ann_changes, bo_changes = await changes_of(district, run)
    assert ann_changes == {
        "employee_number": "E1",
        "last_name": "Smythe",
        "first_name": "Ann",
        "added": [
            {
                **endorses,
                "id": str(new["3", "One"]),
                "license_number": "L1",
                "code": "3",
                "description": "English",
                "issue_date": "2025-07-01",
                "expiration_date": None,
                "limitation": "One",
                "primary": False,
                "manual_edit": None,
            }
        ],
        "changed": [
            {
                **licence,
                "id": str(old["L1"]),
                "license_number": "L1",
                "fields": {"status": {"old": "ACT", "new": "UDR"}},
                "manual_edit": None,
            },
            {
                **endorses,
                "id": str(old["2-05", None]),
                "license_number": "L1",
                "code": "2-05",
                "fields": {
                    "description": {"old": "English", "new": "Literature"},
                    "issue_date": {"old": "2025-07-01", "new": None},
                },
                "manual_edit": None,
            },
        ],
        "removed": [
            {
                **licence,
                "id": str(old["L2"]),
                "license_number": "L2",
                "status": "ACT",
                "issue_date": None,
                "expiration_date": "2099-06-30",
                "manual_edit": None,
            },
            {
                **endorses,
                "id": str(old["2-05", "Two"]),
                "license_number": "L2",
                "code": "2-05",
                "description": "English",
                "issue_date": "2025-07-01",
                "expiration_date": None,
                "limitation": "Two",
                "primary": False,
                "manual_edit": None,
            },
        ],
    }
    assert [record["license_number"] for record in bo_changes["removed"]] == ["L9"]
    assert (bo_changes["added"], bo_changes["changed"]) == ([], [])
    assert (
        await changes_of(
            district,
            await succeed(district, write_file(tmp_path, [changed, ann(LicenseStatus="UDR", **description)])),
        )
        == []
    )


async def test_endorsements_of_one_code_are_told_apart_by_their_ids(
    district: Factory, tmp_path: Path
) -> None:
    """When the first of two goes, the second takes its place and its id: that is what other systems see."""
    one, two = ann(Limitation="One", **ENGLISH), ann(Limitation="Two", **ENGLISH)
    await succeed(district, write_file(tmp_path, [one, two]))
    old = await ids(district)
    await write(
        district, sa.update(endorsement).where(endorsement.c.limitation == "Two").values(is_primary=True)
    )
    run = await succeed(district, write_file(tmp_path, [two]))
    (item,) = await changes_of(district, run)
    (changed,), (removed,) = item["changed"], item["removed"]
    assert changed["id"] == str(old["2-05", "One"])
    assert changed["fields"] == {
        "limitation": {"old": "One", "new": "Two"},
        "primary": {"old": False, "new": True},
    }
    assert (removed["id"], removed["primary"]) == (str(old["2-05", "Two"]), True)


async def test_a_choice_of_primary_is_no_edit(district: Factory, tmp_path: Path) -> None:
    rows = [ann(**ENGLISH), bo()]
    await succeed(district, write_file(tmp_path, rows))
    key = (await ids(district))["2-05", None]
    await district.endorsements.change(DISTRICT, "hr.two", key, {"limitation": "by hand"}, None)
    await district.endorsements.change(DISTRICT, HR, key, {"primary": True}, None)
    run = await succeed(district, write_file(tmp_path, rows))
    # The edit is the first user's, although the second wrote to the record last.
    assert await edits_of(district, run) == [("L1", "2-05", "changed", "hr.two")]
    await district.endorsements.change(DISTRICT, HR, key, {"primary": False}, None)
    run = await succeed(district, write_file(tmp_path, rows))
    assert await changes_of(district, run) == []
    assert await edits_of(district, run) == []


async def test_an_edit_that_agrees_with_the_state_is_not_gone_over(district: Factory, tmp_path: Path) -> None:
    one, two = ann(Limitation="One", **ENGLISH), ann(Limitation="Two", **ENGLISH)
    await succeed(district, write_file(tmp_path, [one, two]))
    key = await ids(district)
    for limitation in ("by hand", "One"):
        await district.endorsements.change(DISTRICT, HR, key["2-05", "One"], {"limitation": limitation}, None)
    await district.endorsements.change(DISTRICT, HR, key["2-05", "Two"], {"primary": True}, None)
    run = await succeed(district, write_file(tmp_path, [one]))
    (item,) = await changes_of(district, run)
    (changed,) = item["changed"]
    assert changed["fields"] == {"primary": {"old": False, "new": True}}  # it inherits the choice
    assert changed["manual_edit"] is None
    assert await edits_of(district, run) == []


async def test_edits_by_hand_are_shown_with_the_record_once(district: Factory, tmp_path: Path) -> None:
    rows = [ann(**ENGLISH), ann("L2", **ENGLISH), bo()]
    await succeed(district, write_file(tmp_path, rows))
    key = await ids(district)
    certifications = district.certifications
    await certifications.change(DISTRICT, HR, key["L1"], {"expiration_date": date(2090, 1, 1)}, None)
    await certifications.delete(DISTRICT, "hr.two", key["L2"], None)  # its endorsement goes along
    await certifications.change(DISTRICT, HR, key["L9"], {"status": "UDR"}, None)
    expected = [
        ("L1", None, "changed", HR),
        ("L2", None, "restored", "hr.two"),
        ("L2", "2-05", "restored", "hr.two"),
        ("L9", None, "removed", HR),
    ]
    run = await succeed(district, write_file(tmp_path, rows[:2]))
    assert await edits_of(district, run) == expected
    assert run.summary
    assert run.summary["manual_edits_overwritten"] == 4
    ann_changes, bo_changes = await changes_of(district, run)
    assert [record["manual_edit"]["by"] for record in ann_changes["added"]] == ["hr.two", "hr.two"]
    (changed,), (removed,) = ann_changes["changed"], bo_changes["removed"]
    assert changed["fields"] == {"expiration_date": {"old": "2090-01-01", "new": "2099-06-30"}}
    logged = {
        item["public_id"]: item["at"].isoformat().replace("+00:00", "Z")
        for item in await select(district, sa.select(edit_table))
    }
    assert changed["manual_edit"] == {"by": HR, "at": logged[key["L1"]]}
    assert removed["manual_edit"] == {"by": HR, "at": logged[key["L9"]]}
    assert {item["run_id"] for item in await select(district, sa.select(edit_table))} == {run.id}
    # The state takes back and gives again what somebody once deleted: no edit is at stake any more.
    await succeed(district, write_file(tmp_path, rows[:1]))
    run = await succeed(district, write_file(tmp_path, rows))
    assert await edits_of(district, run) == []
    assert manual_edits(await changes_of(district, run)) == {}


async def test_only_the_last_edit_of_a_record_counts(district: Factory, tmp_path: Path) -> None:
    rows = [ann(), ann("L2"), bo()]
    await succeed(district, write_file(tmp_path, rows))
    key = await ids(district)
    licence = {"employee_number": "E1", "license_number": "L2", "license_type": "Level II"}
    content = {"status": "ACT", "issue_date": date(2025, 7, 1), "expiration_date": date(2099, 6, 30)}
    service = district.certifications
    for day, user in enumerate((HR, "hr.two"), start=1):
        await service.change(DISTRICT, user, key["L1"], {"issue_date": date(2001, 1, day)}, None)
    await service.delete(DISTRICT, HR, key["L2"], None)
    await service.create(DISTRICT, "hr.two", licence | content)  # as the state has it: nothing is lost
    await service.delete(DISTRICT, HR, key["L9"], None)
    run = await succeed(district, write_file(tmp_path, rows[:2]))  # nor of L9, which is not in the file
    assert await edits_of(district, run) == [("L1", None, "changed", "hr.two")]
    (item,) = await changes_of(district, run)
    assert [record["license_number"] for record in item["changed"]] == ["L1"]
    assert item["added"] == item["removed"] == []
    assert run.summary
    assert run.summary["certifications_changed"] == 2  # L2 is the import's again, which no reader sees


async def test_edits_wait_until_an_import_goes_over_them(district: Factory, tmp_path: Path) -> None:
    """Those of people who are not active, and those of another district."""
    rows = [ann(), bo()]
    await add_district(district, "other")
    await district.employees.put_all("other", [BO])
    for name in (DISTRICT, "other"):
        await succeed(district, write_file(tmp_path, rows), name)
        await district.certifications.delete(name, HR, (await ids(district, name))["L9"], None)
    await district.employees.put_all(DISTRICT, [{**BO, "status": EmployeeStatus.TERMINATED}])
    run = await succeed(district, write_file(tmp_path, rows))
    assert await edits_of(district, run) == []
    assert len(await deletions(district)) == 2
    await district.employees.put_all(DISTRICT, [BO])
    for name in (DISTRICT, "other"):
        run = await succeed(district, write_file(tmp_path, rows), name)
        assert await edits_of(district, run) == [("L9", None, "restored", HR)]
    assert await deletions(district) == set()


async def test_a_failed_import_settles_nothing(district: Factory, tmp_path: Path) -> None:
    rows = [ann(), bo()]
    await succeed(district, write_file(tmp_path, rows))
    await district.certifications.delete(DISTRICT, HR, (await ids(district))["L9"], None)
    broken = write_file(tmp_path / "broken", [*rows, *([["1"]] * 5)])
    assert (await run_import(district, broken)).failure_code == "too_many_rejected_rows"
    run = await succeed(district, write_file(tmp_path, rows))
    assert await edits_of(district, run) == [("L9", None, "restored", HR)]
