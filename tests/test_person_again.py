"""The erasure of a person, typed again, or begun for somebody who is another one by now."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.cli.console import person_told
from app.constants import EmployeeStatus
from app.database import Database
from app.errors import ConflictError
from app.factory import Factory
from app.models.base import utc_now
from app.pipeline.person import Grade
from app.pipeline.person_findings import finding
from app.services import run_reporting
from app.services.person_erasure import Wish
from tests.support.imports import (
    COLUMNS,
    DISTRICT,
    employee,
    employee_table,
    row,
    select,
    succeed,
    write_file,
)
from tests.support.one_person import EDUCATOR_ID, FIRST, FULL, LAST, NUMBER, live, places, text_pdf

ALL = Wish(delete_files=True)
GONE = {"status": EmployeeStatus.TERMINATED}


@pytest.fixture
def district(lenient: Factory, monkeypatch: pytest.MonkeyPatch) -> Factory:
    monkeypatch.setattr(run_reporting, "render_pdf", text_pdf)
    return lenient


async def erase(factory: Factory, employee: str | None = NUMBER, educator_id: str | None = None) -> Any:
    found = await factory.personal_data.find(DISTRICT, employee, educator_id)
    return await factory.person_erasure.erase(found, ALL)


async def numbers(factory: Factory) -> set[str]:
    return {one["employee_number"] for one in await select(factory, sa.select(employee_table))}


async def test_a_number_is_never_taken_for_the_educator_id_of_another(district: Factory) -> None:
    """Which it may look like; the same command is typed again after a doubt, and is the way to finish."""
    people = [employee("1001", "7", "Quill", "Ann") | GONE, employee("2", "1001", "Otter", "Tom") | GONE]
    await district.employees.put_all(DISTRICT, people)
    await erase(district, "1001")
    assert await numbers(district) == {"2"}
    again = await erase(district, "1001")
    assert not again.anything
    assert await numbers(district) == {"2"}
    assert person_told(again, ALL, erased=True) == "Nothing is stored of employee 1001."
    by_id = await district.personal_data.find(DISTRICT, None, "1001")
    assert "Would be erased of employee 2:" in person_told(by_id, ALL, erased=False)


async def test_nobody_is_erased_but_whom_the_caller_saw(district: Factory) -> None:
    await district.employees.put_all(DISTRICT, [FULL | GONE])
    by_number = await district.personal_data.find(DISTRICT, NUMBER)
    by_id = await district.personal_data.find(DISTRICT, None, EDUCATOR_ID)
    await district.employees.delete(DISTRICT, NUMBER, None)
    await district.employees.put_all(DISTRICT, [employee("88", EDUCATOR_ID, "Otter", "Tom") | GONE])
    for found in (by_number, by_id):
        with pytest.raises(ConflictError, match="Nothing was erased"):
            await district.person_erasure.erase(found, ALL)
    assert await numbers(district) == {"88"}


async def test_typed_again_it_empties_the_log_that_readers_kept(
    district: Factory, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    await live(district, district.settings.data_dir / "state")

    async def kept(_: Database) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(Database, "empty_log", kept)
        await erase(district)
    assert any(event["event"] == "sqlite_log_not_emptied" for event in logs)
    left = await places(district, district.settings)
    assert district.database.is_sqlite == bool(left), "in the write-ahead log"
    await erase(district)
    assert await places(district, district.settings) == {}


async def test_who_was_deleted_is_known_by_the_audit_trail(district: Factory) -> None:
    """They left before the first import, so no line of a list is their own; others' lines name them."""
    old = FULL | GONE | {"last_name": "Maidenwort", "former_last_name": None}
    tom = employee("3", "45127", "Otter", "Tom")
    await district.employees.put_all(DISTRICT, [old, tom, employee("2", "9001", "Marsh", "Ann")])
    await district.employees.put(DISTRICT, old | {"last_name": LAST}, None)
    await district.employees.delete(DISTRICT, NUMBER, None)
    rows = [row("45127", LAST, FIRST), row("9001", "Marsh", "Ann"), row("9001", "Maidenwort", FIRST)]
    await succeed(district, write_file(district.settings.data_dir / "state", rows))
    assert await places(district, district.settings, "Maidenwort", LAST)
    found = await district.personal_data.find(DISTRICT, NUMBER)
    assert {one.grade for one in found.mentions} == {Grade.ID, Grade.NAME}
    assert found.naming_files
    await erase(district)
    assert await places(district, district.settings, "Maidenwort", LAST, FIRST) == {}


async def test_a_broken_row_of_a_file_with_tabs_loses_the_person(district: Factory) -> None:
    """Lists show what does not print as escapes, which no word ends with."""
    await district.employees.put_all(DISTRICT, [FULL | GONE, employee("2", "9001", "Marsh", "Ann")])
    lines = [
        COLUMNS,
        row("9001", "Marsh", "Ann"),
        ["45127", LAST, FIRST],
        [f"\xa0{LAST}\xa0", f"{FIRST}\x9b"],
    ]
    path = write_file(district.settings.data_dir / "state", [])
    path.write_text("".join("\t".join(line) + "\r\n" for line in lines), encoding="utf-8")
    await succeed(district, path)
    assert "run_finding" in (await places(district, district.settings, LAST))[LAST]
    await erase(district)
    assert await places(district, district.settings, LAST, FIRST) == {}


@pytest.mark.parametrize("trail", [True, False], ids=["by the audit trail", "by the lists"])
async def test_the_id_of_who_was_deleted_leads_to_their_number(district: Factory, *, trail: bool) -> None:
    """By the id alone only what others' lines have of them would be found."""
    james = employee("1002", "60334", "Okafor", "James")
    await district.employees.put_all(DISTRICT, [james, employee("2", "9001", "Marsh", "Ann")])
    rows = [row("60334", "Okafor-Bell", "James"), row("9001", "Marsh", "Ann")]
    await succeed(district, write_file(district.settings.data_dir / "state", rows))
    await district.employees.delete(DISTRICT, "1002", None)
    if not trail:  # as before the upgrade that brought it
        await district.audit.seal(full=True)
        await district.audit.forget(utc_now() + timedelta(days=10_000))
    with pytest.raises(ConflictError, match=r"was deleted: give the number \(1002\)"):
        await erase(district, None, "060334")
    await erase(district, "1002")
    assert await places(district, district.settings, "Okafor", "James") == {}
    assert not (await erase(district, None, "60334")).anything


async def test_an_id_that_was_corrected_is_not_taken_for_theirs(district: Factory) -> None:
    kate, james = employee("1001", "60334", "Marsh", "Kate"), employee("1002", "60334", "Okafor", "James")
    await district.employees.put_all(DISTRICT, [kate])
    rows = [
        row("60334", "Okafor-Bell", "James"),
        row("45127", "Marsh", "Kate"),
        row("60334", "Marsh", "Kate"),
    ]
    directory = district.settings.data_dir / "state"
    await succeed(district, write_file(directory, rows, "20260101"))
    await district.employees.put_all(DISTRICT, [kate | {"state_staff_id": "45127"}, james])
    await succeed(district, write_file(directory, rows, "20260102"))
    await district.employees.put_all(DISTRICT, [kate | {"state_staff_id": "45127"} | GONE])
    found = await district.personal_data.find(DISTRICT, "1001")
    document = await district.personal_data.export(found)
    assert (document["educator_ids"], document["educator_ids_in_doubt"]) == (["45127"], ["60334"])
    assert "may be another's: 60334." in person_told(found, ALL, erased=False)
    cells = [line["cells"] for file in document["licence_files"] for line in file["lines"]]
    assert {(one["EducatorID"], one["FirstName"]) for one in cells} == {("45127", "Kate"), ("60334", "Kate")}
    theirs = [line["line"] for line in document["run_lists"] if line["line"].get("employee_number") != "1001"]
    assert "James" not in str(theirs)
    await erase(district, "1001")
    assert await places(district, district.settings, "Kate") == {}
    lists = "".join(str(one["data"]) for one in await select(district, sa.select(finding)))
    assert "Okafor-Bell" in lists, "the active employee keeps his evidence"


async def test_an_id_of_two_employees_counts_with_the_name(district: Factory) -> None:
    kate, james = employee("1001", "60334", "Marsh", "Kate"), employee("1002", "60334", "Okafor", "James")
    await district.employees.put_all(DISTRICT, [kate | GONE, james])
    await succeed(
        district, write_file(district.settings.data_dir / "state", [row("60334", "Okafor-Bell", "James")])
    )
    assert (await district.personal_data.find(DISTRICT, "1001")).naming_files == []
    await erase(district, "1001")
    assert "James" in (await places(district, district.settings, "James"))
    lists = "".join(str(one["data"]) for one in await select(district, sa.select(finding)))
    assert "Okafor-Bell" in lists
