"""Employees, records or the run itself change between the match and the replace."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app import database
from app.constants import EmployeeStatus, RunKind
from app.errors import ServiceUnavailableError
from app.factory import Factory
from app.models import District
from app.pipeline import heartbeat, plan
from app.pipeline.run import PASSES
from app.pipeline.summary import summarise
from app.services.runs import RunOptions
from tests.support.imports import (
    DISTRICT,
    certification,
    employee,
    execute,
    lists,
    records,
    row,
    run_import,
    run_table,
    start,
    succeed,
    write,
    write_file,
)

ANN = employee("E1", "7", "Smith", "Ann")
BO = employee("E2", "8", "Doe", "Bo")
Hook = Callable[[int], Awaitable[None]]


@pytest.fixture
async def imported(factory: Factory, tmp_path: Path) -> Factory:
    await factory.employees.put_all(DISTRICT, [ANN, BO])
    await succeed(factory, write_file(tmp_path, [row("7", "Smith", "Ann"), row("8", "Doe", "Bo", "L9")]))
    return factory


@pytest.fixture
def new_file(tmp_path: Path) -> Path:
    rows = [row("7", "Smith", "Ann", "L2"), row("8", "Doe", "Bo", "L8"), row("9", "Ray", "Cy", "L3")]
    return write_file(tmp_path, rows, "20260106")


def in_the_middle(monkeypatch: pytest.MonkeyPatch, hook: Hook) -> list[int]:
    """Call `hook(pass)` after each match and before the replace; returns the list of passes."""
    passes: list[int] = []

    async def hooked(*arguments: Any) -> dict[str, Any]:
        passes.append(len(passes) + 1)
        await hook(passes[-1])
        return await summarise(*arguments)

    monkeypatch.setattr(plan, "summarise", hooked)
    return passes


async def held(factory: Factory) -> set[str]:
    return {item["license_number"] for item in (await records(factory))["certification"]}


async def test_a_roster_that_moved_is_matched_again(
    imported: Factory, new_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def change(number: int) -> None:
        if number == 1:
            gone = {**BO, "status": EmployeeStatus.TERMINATED}
            await imported.employees.put_all(DISTRICT, [gone, employee("E3", "9", "Ray", "Cy")])

    passes = in_the_middle(monkeypatch, change)
    run = await run_import(imported, new_file)
    assert run.status == "succeeded"
    assert passes == [1, 2]
    assert await held(imported) == {"L2", "L9", "L3"}
    assert run.summary
    assert (run.summary["rows_matched"], run.summary["certifications_deleted"]) == (2, 1)
    assert "skipped" not in await lists(imported, run)


async def test_a_record_that_was_edited_is_compared_again(
    imported: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def edit(number: int) -> None:
        if number == 1:
            by_hand = {"source": "manual", "updated_by": "hand", "updated_at": datetime.now(UTC)}
            this = certification.c.license_number == "L1"
            moved = {"edit_version": District.edit_version + 1}
            await write(
                imported,
                sa.update(certification).where(this).values(status="UDR", **by_hand),
                sa.update(District).where(District.id == DISTRICT).values(moved),  # type: ignore[arg-type] # SQLModel types columns as values
            )

    before = await records(imported)
    passes = in_the_middle(monkeypatch, edit)
    run = await run_import(
        imported, write_file(tmp_path, [row("7", "Smith", "Ann"), row("8", "Doe", "Bo", "L9")])
    )
    assert passes == [1, 2]
    assert [item["updated_by"] for item in (await lists(imported, run))["overwritten"]] == ["hand"]
    after = await records(imported)
    status = {item["license_number"]: (item["status"], item["source"]) for item in after["certification"]}
    assert status == {"L1": ("ACT", "import"), "L9": ("ACT", "import")}
    assert [item["public_id"] for item in after["certification"]] == [
        item["public_id"] for item in before["certification"]
    ]


@pytest.mark.parametrize("which", ["roster", "edits"])
async def test_data_that_never_rest_are_replaced_under_the_guard(
    imported: Factory, new_file: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """The last pass sees the very last change, and nobody can make another one meanwhile."""

    async def change(number: int) -> None:
        if number == PASSES:
            with pytest.raises(ServiceUnavailableError):
                await imported.employees.put_all(DISTRICT, [{**BO, "legal_first_name": "Late"}])
        elif which == "roster":
            hired = employee(f"E{number + 2}", str(number + 8), "Ray", "Cy")
            await imported.employees.put_all(DISTRICT, [hired])
        else:
            await write(
                imported,
                sa.update(certification)
                .where(certification.c.license_number == "L1")
                .values(status=f"by hand {number}", source="manual"),
                sa.update(District).values(edit_version=District.edit_version + 1),
            )

    impatient(imported, monkeypatch)
    passes = in_the_middle(monkeypatch, change)
    run = await run_import(imported, new_file)
    assert run.status == "succeeded", run.failure_message
    assert passes == list(range(1, PASSES + 1))
    assert await held(imported) == ({"L2", "L8", "L3"} if which == "roster" else {"L2", "L8"})
    found = await lists(imported, run)
    assert len(found.get("overwritten", [])) == (which == "edits")
    assert len(found["change"]) == (3 if which == "roster" else 2)
    await imported.employees.put_all(DISTRICT, [{**BO, "legal_first_name": "Later"}])


async def test_a_preview_is_worked_out_again_when_data_move(
    imported: Factory, new_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def change(number: int) -> None:
        if number == 1:
            await imported.employees.put_all(DISTRICT, [employee("E3", "9", "Ray", "Cy")])

    passes = in_the_middle(monkeypatch, change)
    options = RunOptions(kind=RunKind.PREVIEW, accept_shrink=True)
    run = await imported.runs.start_local(DISTRICT, "a test", "importer", options)
    await execute(imported, run.id, new_file)
    ended = await imported.runs.get(DISTRICT, run.id)
    assert (ended.status, passes) == ("succeeded", [1, 2])
    assert ended.summary
    assert ended.summary["employees_matched"] == 3
    assert len((await lists(imported, ended))["change"]) == 3
    assert await held(imported) == {"L1", "L9"}


def impatient(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let writers give up after half a second."""
    monkeypatch.setattr(database, "GUARD_WAIT", "500ms")
    if factory.database.is_sqlite:
        sync = factory.database.engine.sync_engine
        sa.event.listen(sync, "begin", lambda opened: opened.exec_driver_sql("PRAGMA busy_timeout=500"))


async def test_a_change_that_no_import_reads_does_not_matter(
    imported: Factory, new_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def change(number: int) -> None:
        await imported.employees.put_all(DISTRICT, [{**BO, "middle_name": str(number)}])

    passes = in_the_middle(monkeypatch, change)
    await succeed(imported, new_file)
    assert passes == [1]


async def test_a_change_in_another_district_does_not_matter(
    imported: Factory, new_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def change(_: int) -> None:
        other = District(id="other", name="Other", timezone="America/Chicago")
        async with imported.database.write() as session:
            session.add(other)
        await imported.employees.put_all("other", [ANN])

    passes = in_the_middle(monkeypatch, change)
    assert (await run_import(imported, new_file)).status == "succeeded"
    assert passes == [1]


@pytest.mark.parametrize("change", [{"owner": uuid4()}, {"status": "cancelled"}])
async def test_a_run_that_is_no_longer_ours_writes_nothing(
    imported: Factory, new_file: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    async def lose(_: int) -> None:
        await write(imported, sa.update(run_table).values(change).where(run_table.c.status == "in_progress"))

    before = await records(imported)
    in_the_middle(monkeypatch, lose)
    run = await run_import(imported, new_file)
    assert await records(imported) == before
    assert run.status == change.get("status", "in_progress")
    assert (run.failure_code, run.summary) == (None, None)


async def test_a_worker_that_lost_its_run_stops_in_the_middle(
    imported: Factory, new_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that takes for ever is left as soon as the heartbeat finds another owner."""
    reached = asyncio.Event()

    async def lose_and_hang(_: int) -> None:
        await write(imported, sa.update(run_table).values(owner=uuid4()))
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(heartbeat, "BEAT", 0.01)
    in_the_middle(monkeypatch, lose_and_hang)
    run = await start(imported)
    async with asyncio.timeout(20):
        await execute(imported, run.id, new_file)
    assert reached.is_set()
    assert await held(imported) == {"L1", "L9"}


async def test_the_heartbeat_shows_phase_and_progress(
    imported: Factory, new_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    async def look(_: int) -> None:
        """Wait until the run's row says that it is matched; later beats than the first one moved."""
        first = (await imported.runs.get(DISTRICT, run.id)).heartbeat_at
        async with asyncio.timeout(20):
            while True:
                now = await imported.runs.get(DISTRICT, run.id)
                if now.phase == "match" and (now.heartbeat_at or first) != first:
                    seen.append((now.status.value, now.progress))
                    return
                await asyncio.sleep(0.01)

    monkeypatch.setattr(heartbeat, "BEAT", 0.01)
    in_the_middle(monkeypatch, look)
    run = await start(imported)
    await execute(imported, run.id, new_file)
    assert seen == [("in_progress", 60)]
    ended = await imported.runs.get(DISTRICT, run.id)
    assert (ended.status, ended.phase, ended.progress) == ("succeeded", "report", 100)
