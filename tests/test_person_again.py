"""The erasure of a person, typed again, or begun for somebody who is another one by now."""

from typing import Any

import pytest
import sqlalchemy as sa

from app.cli.console import person_told
from app.constants import EmployeeStatus
from app.database import Database
from app.errors import ConflictError
from app.factory import Factory
from app.pipeline.person import Grade
from app.services import run_reporting
from app.services.person_erasure import Wish
from tests.support.imports import DISTRICT, employee, employee_table, row, select, succeed, write_file
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
