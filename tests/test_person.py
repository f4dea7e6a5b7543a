"""What is stored of one person is found, shown, and erased, wherever a person can stand."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

from app.constants import EmployeeStatus, RunStatus
from app.errors import ConflictError, NotFoundError, RunInProgressError
from app.factory import Factory
from app.models.base import utc_now
from app.services import run_reporting
from app.services.person_erasure import Wish
from app.services.runs import RunOptions
from app.settings import Settings
from app.storage import holdings
from tests.support.imports import (
    DISTRICT,
    add_district,
    employee,
    employee_table,
    import_file,
    lists,
    row,
    run_import,
    run_table,
    select,
    succeed,
    write,
    write_file,
)
from tests.support.object_storage import Bucket
from tests.support.one_person import (
    EDUCATOR_ID,
    FIRST,
    FORMER,
    FULL,
    LAST,
    NUMBER,
    SIGNS,
    answer,
    live,
    places,
    set_status,
    state_file,
    text_pdf,
)

ALL = Wish(delete_files=True)


IN_BOTH_STORES = pytest.mark.parametrize("ours", ["directories", "bucket"], indirect=True)


@pytest.fixture(params=["directories"])
def ours(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """With licence files in either store; a file may have broken rows."""
    chosen = settings.model_copy(update={"max_rejected_percent": 100.0})
    if request.param == "directories":
        return chosen
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket.settings(chosen)


@pytest.fixture
async def district(ours: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Factory]:
    monkeypatch.setattr(run_reporting, "render_pdf", text_pdf)
    made = Factory(ours)
    await add_district(made, DISTRICT)
    yield made
    await made.close()


async def erase(factory: Factory, wish: Wish = ALL, employee: str | None = NUMBER, **whom: Any) -> Any:
    found = await factory.personal_data.find(DISTRICT, employee, **whom)
    return await factory.person_erasure.erase(found, wish)


def test_every_table_is_held_against_the_list() -> None:
    """A later table has to say what it has of people, or why nothing."""
    held = {holding.table.name for holding in holdings.HOLDINGS}
    groups = [held, set(holdings.ELSEWHERE), set(holdings.NOTHING)]
    assert set.union(*groups) == set(SQLModel.metadata.tables)
    assert sum(map(len, groups)) == len(SQLModel.metadata.tables), "each is in one list"
    assert len({holding.name for holding in holdings.HOLDINGS}) == len(holdings.HOLDINGS)


@IN_BOTH_STORES
async def test_an_erased_person_is_nowhere(district: Factory, ours: Settings) -> None:
    runs = await live(district, ours.data_dir / "state")
    before = await places(district, ours)
    assert set(before) == set(SIGNS)
    assert {"employee", "certification", "endorsement", "record_edit", "idempotency_key", "run_finding"} <= {
        name for names in before.values() for name in names
    }
    assert any("reports/" in name for name in before[LAST])
    assert any("quarantine/" in name for name in before[LAST])
    await erase(district)
    assert await places(district, ours) == {}
    # PDFs come again, without them, and say so.
    for run in runs:
        await district.reporting.report(run.id)
    assert await places(district, ours) == {}
    again = await district.runs.get(DISTRICT, runs[0].id)
    assert again.report_pdf is not None
    assert again.lists_redacted_at is not None
    assert again.summary == runs[0].summary
    left = await district.personal_data.find(DISTRICT, NUMBER)
    assert not any(left.counts().values())


async def test_others_keep_what_is_theirs(district: Factory, ours: Settings) -> None:
    [first, *_] = await live(district, ours.data_dir / "state")
    before = await lists(district, first)
    await erase(district)
    after = await lists(district, first)
    [otter] = after["skipped"]
    assert otter["employee_number"] == "3"
    assert {one["last_name"] for one in otter["candidates"]} == {"(erased)"}
    assert len(otter["candidates"]) == len(before["skipped"][0]["candidates"])
    [marsh] = after["other_name"]
    assert (marsh["employee_number"], marsh["file_last_name"]) == ("2", "(erased)")
    assert [one["value"] for one in after["rejected"]] == ["(erased)"]
    assert [one["employee_number"] for one in after["change"]] == ["2"]
    left = await select(district, sa.select(employee_table.c.employee_number))
    assert {one["employee_number"] for one in left} == {"2", "3"}


async def test_the_next_import_does_not_bring_an_erased_employee_back(
    district: Factory, ours: Settings
) -> None:
    await live(district, ours.data_dir / "state")
    await erase(district)
    run = await succeed(district, state_file(ours.data_dir / "state", "20260105"))
    found = await select(district, sa.select(employee_table.c.employee_number))
    assert {one["employee_number"] for one in found} == {"2", "3"}
    assert NUMBER not in json.dumps(await lists(district, run), default=str)


async def test_of_who_has_no_number_no_row_is_taken_for_theirs(district: Factory, ours: Settings) -> None:
    """Rows that have no number either are other people's."""
    stored = {
        "caller": "u",
        "key": "k",
        "request_hash": "h",
        "status": 202,
        "headers": {},
        "body": {"id": "x"},
    }
    await write(district, sa.insert(answer).values(district_id=DISTRICT, created_at=utc_now(), **stored))
    await succeed(district, state_file(ours.data_dir / "state", "20260101"))
    found = await district.personal_data.find(DISTRICT, None, EDUCATOR_ID)
    assert found.files[0].lines
    assert not any(found.rows.values())
    await district.person_erasure.erase(found, ALL)
    assert len(await select(district, sa.select(answer))) == 1


async def test_a_licence_holder_who_is_no_employee(district: Factory, ours: Settings) -> None:
    """Somebody of the state's file who only stood beside an employee of ours."""
    await district.employees.put_all(DISTRICT, [employee("3", "45127", "Otter", "Tom")])
    await succeed(district, state_file(ours.data_dir / "state", "20260101"))
    found = await district.personal_data.find(DISTRICT, None, "99999")
    assert not any(found.counts().values())
    await write(district, sa.update(employee_table).values(educator_key=None, state_staff_id=None))
    found = await district.personal_data.find(DISTRICT, None, EDUCATOR_ID)
    document = await district.personal_data.export(found)
    assert document["employee"] == []
    assert LAST.upper() in json.dumps(document["run_lists"])
    assert "Otter" not in json.dumps(document)
    await erase(district, employee=None, educator_id=EDUCATOR_ID)
    assert await places(district, ours, LAST, FIRST, FORMER) == {}
    assert (await select(district, sa.select(employee_table)))[0]["last_name"] == "Otter"


async def test_what_is_left_of_an_employee_who_was_deleted(district: Factory, ours: Settings) -> None:
    await live(district, ours.data_dir / "state")
    records = [sa.delete(holding.table) for holding in holdings.HOLDINGS[:2]]
    await write(district, *records)
    await district.employees.delete(DISTRICT, NUMBER, None)
    assert await places(district, ours)
    await erase(district)
    assert await places(district, ours) == {}


async def test_an_active_employee_needs_a_second_word(district: Factory, ours: Settings) -> None:
    await live(district, ours.data_dir / "state")
    await set_status(district, EmployeeStatus.ACTIVE)
    before = await places(district, ours)
    with pytest.raises(ConflictError, match="--even-if-active"):
        await erase(district)
    assert await places(district, ours) == before
    await erase(district, Wish(even_if_active=True, delete_files=True))
    assert await places(district, ours) == {}


@IN_BOTH_STORES
async def test_somebody_says_what_becomes_of_kept_files(district: Factory, ours: Settings) -> None:
    await live(district, ours.data_dir / "state")
    with pytest.raises(ConflictError, match="--delete-files"):
        await erase(district, Wish())
    await erase(district, Wish(delete_files=False))
    assert len(await select(district, sa.select(import_file))) == 3
    left = {name for names in (await places(district, ours)).values() for name in names}
    assert left
    assert all("downloads/" in name for name in left)
    # Nobody knows any more who that number was; the id tells who is in the files, if no employee has it.
    await write(district, sa.update(employee_table).values(educator_key=None))
    await erase(district, employee=None, educator_id=EDUCATOR_ID)
    assert await places(district, ours) == {}


async def test_a_file_that_cannot_be_read_may_name_anybody(district: Factory, ours: Settings) -> None:
    await district.employees.put_all(DISTRICT, [FULL | {"status": EmployeeStatus.TERMINATED}])
    path = write_file(ours.data_dir / "state", [row("9", "A", "B")], "20260101")
    path.write_bytes(b"PK\x03\x04 not a table")
    assert (await run_import(district, path)).status == "failed"
    found = await district.personal_data.find(DISTRICT, NUMBER)
    assert [searched.unreadable for searched in found.files] == [True]
    with pytest.raises(ConflictError, match="--delete-files"):
        await erase(district, Wish())


async def test_a_run_in_progress_is_waited_for(district: Factory, ours: Settings) -> None:
    await live(district, ours.data_dir / "state")
    before = await places(district, ours)
    run = await district.runs.start_local(DISTRICT, "x", "x", RunOptions())
    working = {"status": RunStatus.IN_PROGRESS, "heartbeat_at": utc_now(), "owner": uuid4()}
    await write(district, sa.update(run_table).where(run_table.c.id == run.id).values(working))
    with pytest.raises(RunInProgressError):
        await erase(district)
    assert await places(district, ours) == before


async def test_another_district_keeps_its_person_of_the_same_number(
    district: Factory, ours: Settings
) -> None:
    await live(district, ours.data_dir / "state")
    await add_district(district, "other")
    await district.employees.put_all("other", [FULL])
    theirs = await succeed(district, state_file(ours.data_dir / "there", "20260101"), "other")
    before = await lists(district, theirs)
    await erase(district)
    assert await lists(district, theirs) == before
    assert (await select(district, sa.select(employee_table.c.district_id).where(
        employee_table.c.employee_number == NUMBER
    ))) == [{"district_id": "other"}]  # fmt: skip
    assert (await district.runs.get("other", theirs.id)).lists_redacted_at is None


async def test_an_unknown_district_is_named(district: Factory) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        await district.personal_data.find("nowhere", NUMBER)
