"""What people do to tasks and runs that are scheduled: edit, switch off, delete, cancel, run now (I7, I9)."""

import asyncio
from datetime import time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from app.constants import RunStatus
from app.errors import NotFoundError
from app.factory import Factory
from app.models import Run, Task
from app.models.base import utc_now
from app.services.runs import RunOptions
from app.services.schedule import after_cancel, reschedule
from app.storage import runs, tasks
from tests.support.imports import DISTRICT, run_table, select, write
from tests.support.schedules import at, claim, clock, create, scheduled, task_now, tick, waiting

FIRST, SECOND, THIRD = (at(f"2026-06-0{day}T06:30") for day in (2, 3, 4))
EDITOR = "editor"


async def change(factory: Factory, task: Task, **fields: Any) -> Task:
    return await factory.tasks.change(DISTRICT, EDITOR, task.id, fields, None)


async def cancel(factory: Factory, run: Run) -> None:
    await factory.runs.cancel(DISTRICT, run.id)


async def all_runs(factory: Factory) -> list[dict[str, Any]]:
    return await select(factory, sa.select(run_table).order_by(run_table.c.slot))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"time": time(4, 0)}, at("2026-06-02T08:00")),
        ({"time": time(8, 31)}, at("2026-06-01T12:31")),  # still to come today
        ({"timezone": "America/Chicago"}, at("2026-06-02T07:30")),
        ({"recurrence": ["thu"]}, at("2026-06-04T06:30")),
        ({"scheduled_start_date": at("2026-07-01").date()}, at("2026-07-01T06:30")),
        ({"status": "inactive"}, None),
        ({"status": "inactive", "time": None, "recurrence": []}, None),
    ],
    ids=["time", "later today", "zone", "days", "start", "off", "off and empty"],
)
async def test_edit_moves_the_run_that_waits(factory: Factory, fields: dict[str, Any], expected: Any) -> None:
    with clock("2026-06-01T12:30"):
        task = await create(factory)
        assert await waiting(factory, task) == [FIRST]
        changed = await change(factory, task, **fields)
        assert changed.next_run_at == (await task_now(factory, task)).next_run_at == expected
        assert await waiting(factory, task) == ([expected] if expected else [])
        assert [run["run_by"] for run in await all_runs(factory)] == [EDITOR] * len(await all_runs(factory))


async def test_runs_belong_to_whoever_set_the_schedule_last(factory: Factory) -> None:
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory, user="author")
        (before,) = await scheduled(factory, task)
        renamed = await change(factory, task, description="by night", time=time(2, 30))
        (after,) = await scheduled(factory, task)
        assert (renamed.updated_by, after.run_by, after.id) == (EDITOR, "author", before.id)
        assert (after.slot, after.task_description) == (FIRST, "by night")
        moved.shift(timedelta(days=1))
        await tick(factory)
        assert [run.run_by for run in await scheduled(factory, task)] == ["author", "author"]
        await claim(factory, after.id)
        await change(factory, task, time=time(3, 30))
        runs_of = {run.status: run.run_by for run in await scheduled(factory, task)}
        assert runs_of == {RunStatus.IN_PROGRESS: "author", RunStatus.WAITING: EDITOR}


@pytest.mark.parametrize("edit", ["move", "switch off", "delete"])
@pytest.mark.parametrize("state", ["future", "due", "in progress", "put back", "ended"])
async def test_edits_in_every_state_of_the_run(factory: Factory, edit: str, state: str) -> None:
    """What nobody has begun is moved or removed; what somebody has begun, or ended, stays as it is."""
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory)
        (run,) = await scheduled(factory, task)
        if state != "future":
            moved.move_to(FIRST)
            await tick(factory)
        if state not in ("future", "due"):
            begun = await claim(factory, run.id)
            assert begun
            assert begun.owner
            async with factory.database.write() as session:
                connection = await session.connection()
                if state == "put back":
                    await runs.put_back(connection, run.id, begun.owner)
                if state == "ended":
                    await runs.finish(connection, run.id, begun.owner, RunStatus.SUCCEEDED, utc_now())
        kept = [row for row in await all_runs(factory) if row["actual_start"]]
        if edit == "delete":
            await factory.tasks.delete(DISTRICT, task.id, None)
            assert await all_runs(factory) == [row | {"task_id": None} for row in kept]
            return
        fields = {"time": time(4, 0)} if edit == "move" else {"status": "inactive"}
        changed = await change(factory, task, **fields)
        stored = await all_runs(factory)
        assert [row for row in stored if row["actual_start"]] == kept
        new = [row["slot"] for row in stored if not row["actual_start"]]
        assert new == ([at("2026-06-02T08:00")] if edit == "move" else [])
        assert [changed.next_run_at] == (new or [None])


async def test_activated_again_begins_at_the_next_occurrence(factory: Factory) -> None:
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory, status="inactive")
        assert (task.next_run_at, await all_runs(factory)) == (None, [])
        moved.shift(timedelta(days=10))
        await tick(factory)
        assert await all_runs(factory) == []
        await change(factory, task, status="active")
        assert await waiting(factory, task) == [at("2026-06-12T06:30")]


async def test_a_cancelled_occurrence_stays_cancelled(factory: Factory) -> None:
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory)
        for expected in (SECOND, THIRD):
            (run,) = [run for run in await scheduled(factory, task) if run.status == RunStatus.WAITING]
            await cancel(factory, run)
            assert await waiting(factory, task) == [expected]
        await change(factory, task, time=time(4, 0))
        await change(factory, task, time=time(2, 30))
        await factory.schedule.recompute(utc_now())
        assert await waiting(factory, task) == [THIRD]
        moved.move_to(THIRD)
        await tick(factory)
        states = [run.status.value for run in await scheduled(factory, task)]
        assert states == ["cancelled", "cancelled", "waiting", "waiting"]


async def test_cancelling_what_is_due_leaves_the_next_alone(factory: Factory) -> None:
    with clock("2026-06-01T12:30") as moved:
        early, late = await create(factory), await create(factory)
        moved.move_to(FIRST)
        await cancel(factory, (await scheduled(factory, early))[0])  # before the tick
        await tick(factory)
        before = (await scheduled(factory, late))[1]
        await cancel(factory, (await scheduled(factory, late))[0])  # after it
        assert (await scheduled(factory, late))[1] == before
        for task in (early, late):
            assert await waiting(factory, task) == [SECOND]


async def test_run_now_is_no_occurrence(factory: Factory) -> None:
    with clock("2026-06-01T12:30"):
        task = await create(factory)
        now = await factory.runs.start(DISTRICT, task.id, "kmarsh", RunOptions())
        async with factory.database.write() as session:
            await after_cancel(session, now)
        await change(factory, task, description="renamed", time=time(4, 0))
        assert await waiting(factory, task) == [at("2026-06-02T08:00")]
        await change(factory, task, status="inactive")
        (left,) = await all_runs(factory)
        assert (left["id"], left["slot"], left["task_description"]) == (now.id, None, "nightly")
        await factory.tasks.delete(DISTRICT, task.id, None)
        assert (await factory.runs.get(DISTRICT, now.id)).status == "waiting"


async def test_everything_at_once_leaves_one_run_ahead(factory: Factory, logs: list[Any]) -> None:
    """Edits, ticks, cancellations and claims of one task race; nothing fails, and the list is right."""
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory)
        for round_number in range(8):
            moved.shift(timedelta(days=1))
            due = [run for run in await scheduled(factory, task) if run.status == RunStatus.WAITING]
            results = await asyncio.gather(
                *(tick(factory) for _ in range(3)),
                *(change(factory, task, time=time(2 + round_number % 2, minute)) for minute in (0, 30)),
                *(cancel(factory, run) for run in due),
                *(claim(factory, run.id) for run in due),
                factory.schedule.recompute(utc_now()),
                return_exceptions=True,
            )
            unexpected = [error for error in results if isinstance(error, BaseException)]
            assert all(isinstance(error, NotFoundError) for error in unexpected), unexpected  # it was moved
            await tick(factory)
            ahead = [slot for slot in await waiting(factory, task) if slot > utc_now()]
            assert len(ahead) == 1
            await write(
                factory,
                sa.update(run_table).where(run_table.c.status == "in_progress").values(status="failed"),
            )
    assert [event for event in logs if event["event"] == "task_not_scheduled"] == []


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_cancelling_waits_for_an_edit_without_standing_in_its_way(factory: Factory) -> None:
    """Both lock the task first; were it the run first for one of them, they would wait for each other."""
    waits = sa.text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with clock("2026-06-01T12:30"):
        task = await create(factory)
        (run,) = await scheduled(factory, task)
        async with factory.database.write() as session:
            locked = await tasks.find(session, DISTRICT, task.id, to_change=True)
            assert locked
            cancelling = asyncio.create_task(cancel(factory, run))
            async with asyncio.timeout(20):
                while (await select(factory, waits))[0]["count"] == 0:
                    await asyncio.sleep(0.02)
            await reschedule(session, locked, utc_now())
        with pytest.raises(NotFoundError):
            await cancelling
        assert await waiting(factory, task) == [FIRST]


async def test_delete_races_with_the_tick(factory: Factory, logs: list[Any]) -> None:
    with clock("2026-06-01T12:30") as moved:
        made = [await create(factory) for _ in range(5)]
        moved.shift(timedelta(days=1))
        await asyncio.gather(
            tick(factory), *(factory.tasks.delete(DISTRICT, task.id, None) for task in made), tick(factory)
        )
        assert await all_runs(factory) == []
        for gone in (made[0].id, uuid4()):
            with pytest.raises(NotFoundError):
                await factory.tasks.delete(DISTRICT, UUID(str(gone)), None)
    assert [event for event in logs if event["event"] == "task_not_scheduled"] == []
