"""What a replace writes and what it leaves alone (I5, I12, I15)."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.constants import EmployeeStatus
from app.factory import Factory
from app.pipeline import difference
from tests.support.databases import in_every_mode
from tests.support.imports import (
    DISTRICT,
    add_district,
    certification,
    employee,
    endorsement,
    lists,
    records,
    row,
    succeed,
    write,
    write_file,
)

ANN = employee("E1", "0007", "Smith", "Ann")
BO = employee("E2", "8", "Doe", "Bo")
ENGLISH = {"EndorsementCode": "2-05", "EndorsementIssueDate": "07/01/2025"}
BY_HAND = {
    "source": "manual",
    "updated_by": "hand",
    "updated_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
}


def ann(number: str = "L1", **more: str) -> list[str]:
    return row("7", "Smith", "Ann", number, **more)


def bo(number: str = "L9", **more: str) -> list[str]:
    return row("8", "Doe", "Bo", number, **more)


@pytest.fixture
async def district(factory: Factory) -> Factory:
    await factory.employees.put_all(DISTRICT, [ANN, BO])
    return factory


def only(found: dict[str, list[dict[str, Any]]], **values: Any) -> dict[str, Any]:
    """The one record of either table that has these values."""
    wanted = values.items()
    (item,) = [item for items in found.values() for item in items if wanted <= {**item}.items()]
    return item


async def choose_primary(factory: Factory, record: dict[str, Any]) -> None:
    await write(
        factory, sa.update(endorsement).where(endorsement.c.id == record["id"]).values(is_primary=True)
    )


async def test_an_identical_import_writes_nothing(district: Factory, tmp_path: Path) -> None:
    path = write_file(tmp_path, [ann(**ENGLISH), ann("L2"), bo(LicenseIssueDate="", **ENGLISH)])
    await succeed(district, path)
    before = await records(district)
    await choose_primary(district, before["endorsement"][0])
    before = await records(district)
    run = await succeed(district, path)
    assert await records(district) == before
    assert run.summary
    counts = {"deleted": 3, "imported": 3, "added": 0, "changed": 0, "removed": 0, "unchanged": 3}
    expected = {f"certifications_{name}": count for name, count in counts.items()}
    assert expected.items() <= run.summary.items()


async def test_a_changed_licence_keeps_its_id_and_gets_a_version(district: Factory, tmp_path: Path) -> None:
    first = await succeed(district, write_file(tmp_path, [ann(**ENGLISH), ann("L2"), bo()]))
    before = await records(district)
    changed = ann(LicenseExpirationDate="06/30/2088", **ENGLISH)
    second = await succeed(district, write_file(tmp_path, [changed, ann("L2"), bo()]))
    after = await records(district)
    old, new = (only(found, license_number="L1") for found in (before, after))
    assert new["expiration_date"] == date(2088, 6, 30)
    assert (new["id"], new["public_id"]) == (old["id"], old["public_id"])
    assert new["version"] > old["version"]
    assert new["updated_at"] > old["updated_at"]
    assert (old["run_id"], new["run_id"]) == (first.id, second.id)
    assert only(after, license_number="L2") == only(before, license_number="L2")
    assert after["endorsement"] == before["endorsement"]


async def test_a_removed_licence_takes_its_endorsements_along(district: Factory, tmp_path: Path) -> None:
    both = [ann(**ENGLISH), ann("L2", **ENGLISH), ann("L2", EndorsementCode="3-11")]
    await succeed(district, write_file(tmp_path, both))
    before = await records(district)
    run = await succeed(district, write_file(tmp_path, both[:1]))
    after = await records(district)
    assert [item["license_number"] for item in after["certification"]] == ["L1"]
    kept = only(before, license_number="L1")
    assert after["endorsement"] == [only(before, certification_id=kept["id"])]
    assert run.summary
    assert (run.summary["certifications_removed"], run.summary["endorsements_removed"]) == (1, 2)


async def test_a_licence_that_only_changes_its_type_is_another_licence(
    district: Factory, tmp_path: Path
) -> None:
    await succeed(district, write_file(tmp_path, [ann(**ENGLISH)]))
    before = await records(district)
    await succeed(district, write_file(tmp_path, [ann(LicenseType="Level I", **ENGLISH)]))
    after = await records(district)
    for table in before:
        (old,), (new,) = before[table], after[table]
        assert old["public_id"] != new["public_id"]


async def test_terminated_employees_keep_what_they_hold(district: Factory, tmp_path: Path) -> None:
    await succeed(district, write_file(tmp_path, [ann(**ENGLISH), bo(**ENGLISH)]))
    before = await records(district)
    await district.employees.put_all(DISTRICT, [{**BO, "status": EmployeeStatus.TERMINATED}])
    changed = bo(LicenseExpirationDate="06/30/2088", **ENGLISH)
    await succeed(district, write_file(tmp_path, [ann(**ENGLISH), changed, bo("L10")]))
    assert await records(district) == before
    await succeed(district, write_file(tmp_path, [ann("L5")]))
    after = await records(district)
    number = only(before, license_number="L9")["employee_id"]
    for table in before:
        mine = [item for item in after[table] if item["employee_id"] == number]
        assert mine == [item for item in before[table] if item["employee_id"] == number] != []


async def test_a_primary_choice_survives_when_another_of_its_code_disappears(
    district: Factory, tmp_path: Path
) -> None:
    one, two = ann(Limitation="One", **ENGLISH), ann(Limitation="Two", **ENGLISH)
    await succeed(district, write_file(tmp_path, [one, two, bo(**ENGLISH)]))
    chosen = only(await records(district), limitation="Two")
    await choose_primary(district, chosen)
    await succeed(district, write_file(tmp_path, [two, bo(**ENGLISH)]))
    after = await records(district)
    assert [item["limitation"] for item in after["endorsement"] if item["is_primary"]] == ["Two"]
    assert only(after, limitation="Two")["public_id"] != chosen["public_id"]  # it is the first of its code


@pytest.mark.parametrize("choice", ["One", "Two"])
async def test_a_primary_choice_moves_with_its_ordinal(
    district: Factory, tmp_path: Path, choice: str
) -> None:
    one, two = ann(Limitation="One", **ENGLISH), ann(Limitation="Two", **ENGLISH)
    await succeed(district, write_file(tmp_path, [one, two]))
    await choose_primary(district, only(await records(district), limitation=choice))
    for more in (["A", "B"], ["B"], ["A", "Z"]):  # ordinals go up, down, and apart
        rows = [one, two, *(ann(Limitation=text, **ENGLISH) for text in more)]
        await succeed(district, write_file(tmp_path, rows))
        found = (await records(district))["endorsement"]
        assert [item["limitation"] for item in found if item["is_primary"]] == [choice]


async def test_a_primary_choice_ends_with_its_licence(district: Factory, tmp_path: Path) -> None:
    await succeed(district, write_file(tmp_path, [ann(**ENGLISH), ann("L2", **ENGLISH)]))
    before = await records(district)
    licence = only(before, license_number="L1")
    await choose_primary(district, only(before, certification_id=licence["id"]))
    await succeed(district, write_file(tmp_path, [ann("L2", **ENGLISH)]))
    assert not any(item["is_primary"] for item in (await records(district))["endorsement"])


@in_every_mode
async def test_edits_by_hand_are_overwritten_and_listed(district: Factory, tmp_path: Path) -> None:
    rows = [ann(**ENGLISH), ann("L2"), bo(**ENGLISH)]
    await succeed(district, write_file(tmp_path, rows))
    before = await records(district)
    certifications = {item["license_number"]: item["id"] for item in before["certification"]}
    anns = only(before, certification_id=certifications["L1"])

    def by_hand(table: sa.Table, key: int, **values: Any) -> sa.Update:
        return sa.update(table).where(table.c.id == key).values({**BY_HAND, **values})

    await write(
        district,
        by_hand(certification, certifications["L1"], status="UDR"),
        by_hand(certification, certifications["L9"]),  # as the state has it: nothing of it is lost
        by_hand(endorsement, anns["id"], limitation="by hand"),
        by_hand(certification, certifications["L2"], expiration_date=None),
    )
    run = await succeed(district, write_file(tmp_path, [rows[0], rows[2]]))
    expected = [
        ("certification", "L1", None, "changed"),
        ("endorsement", "L1", "2-05", "changed"),
        ("certification", "L2", None, "removed"),
    ]
    listed = (await lists(district, run))["overwritten"]
    assert sorted(listed, key=repr) == sorted(
        (
            {
                "employee_number": "E1",
                "record": record,
                "license_number": number,
                "code": code,
                "change": change,
                "updated_by": "hand",
                "updated_at": "2026-01-02T03:04:05Z",
            }
            for record, number, code, change in expected
        ),
        key=repr,
    )
    after = await records(district)
    assert only(after, license_number="L1")["status"] == "ACT"
    assert {item["source"].value for items in after.values() for item in items} == {"import"}
    assert run.summary
    assert run.summary["manual_edits_overwritten"] == 3


@in_every_mode
async def test_another_district_with_the_same_people_is_left_alone(district: Factory, tmp_path: Path) -> None:
    await add_district(district, "other")
    await district.employees.put_all("other", [ANN, BO])
    await succeed(district, write_file(tmp_path, [ann(**ENGLISH), bo(**ENGLISH)]), "other")
    theirs = await records(district, "other")
    await choose_primary(district, theirs["endorsement"][0])
    theirs = await records(district, "other")
    run = await succeed(district, write_file(tmp_path, [ann("L7", **ENGLISH), ann(**ENGLISH)]))
    await succeed(district, write_file(tmp_path, [ann("L8")]))
    assert await records(district, "other") == theirs
    assert run.summary
    assert run.summary["employees_active"] == 2
    assert run.summary["certifications_deleted"] == 0
    ours, other = await records(district), theirs["certification"]
    assert not {item["public_id"] for item in ours["certification"]} & {item["public_id"] for item in other}


async def test_expired_is_before_today_where_the_district_is(factory: Factory, tmp_path: Path) -> None:
    """These two zones are 26 hours apart, so they never have the same date."""
    today = datetime.now(ZoneInfo("Etc/GMT+12")).date()
    rows = [ann(LicenseExpirationDate=f"{today:%m/%d/%Y}"), bo(LicenseExpirationDate="06/30/2099")]
    for zone, expired in (("Etc/GMT+12", []), ("Etc/GMT-14", ["E1"])):
        name = zone.lower().replace("/", "-").replace("+", "p")
        await add_district(factory, name, zone)
        await factory.employees.put_all(name, [ANN, BO])
        run = await succeed(factory, write_file(tmp_path, rows), name)
        found = (await lists(factory, run)).get("expired", [])
        assert [item["employee_number"] for item in found] == expired
    yesterday = today - timedelta(days=1)
    rows = [ann(LicenseExpirationDate=f"{yesterday:%m/%d/%Y}")]
    run = await succeed(factory, write_file(tmp_path, rows), "etc-gmtp12")
    assert run.summary
    assert run.summary["employees_expired_certification"] == 1


async def test_parts_of_the_changes_come_to_the_same_as_all_at_once(
    district: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of three records go, come or change in each of the files; each statement writes two."""
    await add_district(district, "other")
    await district.employees.put_all("other", [ANN, BO])
    files = []
    for stamp in (1, 2, 3):
        rows = [
            ann(f"L{number}", **ENGLISH, Limitation=f"{stamp if number % 2 else 0}")
            for number in range(18)
            if number % 3 != stamp % 3
        ]
        files.append(write_file(tmp_path, rows, f"2026010{stamp}"))

    def contents(found: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
        names = ("license_number", "status", "code", "limitation", "issue_date", "expiration_date")
        return [sorted(str([item.get(name) for name in names]) for item in items) for items in found.values()]

    for file in files:
        await succeed(district, file, "other")
        with monkeypatch.context() as patch:
            patch.setattr(difference, "PART", 2)
            run = await succeed(district, file)
        assert run.summary
        assert contents(await records(district)) == contents(await records(district, "other"))
        assert len((await records(district))["endorsement"]) == 12
    assert run.summary
    assert (run.summary["endorsements_changed"], run.summary["endorsements_removed"]) == (3, 6)
