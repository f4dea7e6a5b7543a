"""The schedule and the clock: one run an occurrence, whoever looks and however late (I7)."""

import asyncio
from datetime import date, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.factory import Factory
from app.models.base import utc_now
from app.services import recurrence
from app.storage import tasks
from tests.support.imports import DISTRICT, TIMEZONE, USER, add_district, run_table, write
from tests.support.schedules import (
    DAILY,
    at,
    change_row,
    claim,
    clock,
    create,
    end,
    live,
    scheduled,
    task_now,
    tick,
    waiting,
)


@pytest.mark.parametrize(
    ("begin", "changes", "expected"),
    [
        (
            "2026-03-06T12:30",  # 02:30 of the 8th does not exist
            {},
            ["2026-03-07T07:30", "2026-03-08T07:30", "2026-03-09T06:30", "2026-03-10T06:30"],
        ),
        (
            "2026-10-30T12:30",  # 01:30 of the 1st occurs twice
            {"time": time(1, 30)},
            ["2026-10-31T05:30", "2026-11-01T05:30", "2026-11-02T06:30", "2026-11-03T06:30"],
        ),
        (
            "2028-02-27T12:30",
            {},
            ["2028-02-28T07:30", "2028-02-29T07:30", "2028-03-01T07:30", "2028-03-02T07:30"],
        ),
        ("2028-02-27T12:30", {"recurrence": ["tue"]}, ["2028-02-29T07:30"]),
        ("2028-02-27T12:30", {"scheduled_start_date": date(2028, 3, 2)}, ["2028-03-02T07:30"]),
    ],
    ids=["gap", "overlap", "leap day", "leap Tuesday", "start date"],
)
async def test_one_run_an_occurrence(
    factory: Factory, begin: str, changes: dict[str, Any], expected: list[str]
) -> None:
    with clock(begin) as moved:
        task = await create(factory, **changes)
        ended = await live(factory, task, moved, days=4)
        assert [run.actual_start for run in ended] == [at(instant) for instant in expected]
        assert all(run.slot == run.scheduled_start == run.actual_start for run in ended)
        assert [run.late for run in ended] == [False] * len(expected)
        assert len(await waiting(factory, task)) == 1


@pytest.mark.parametrize("missed", [1, 3, 40])
@pytest.mark.parametrize("ticked", [False, True], ids=["nobody looked", "one waits"])
async def test_one_late_run_for_all_that_was_missed(factory: Factory, missed: int, ticked: bool) -> None:
    """Either no worker ran at all, or none took the run that was due; it is the first one missed."""
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory)
        if ticked:
            moved.move_to(at("2026-06-02T06:30"))
            await tick(factory)
        moved.move_to(at("2026-06-01T12:30") + timedelta(days=missed))
        await asyncio.gather(*(tick(factory) for _ in range(3)))
        first, following = at("2026-06-02T06:30"), at("2026-06-02T06:30") + timedelta(days=missed)
        assert await waiting(factory, task) == [first, following]
        (due, _) = await scheduled(factory, task)
        run = await claim(factory, due.id)
        assert run
        assert (run.late, run.slot) == (True, first)
        await end(factory, run)
        assert [ended.slot for ended in await live(factory, task, moved, days=2)] == [
            first,
            following,
            following + timedelta(days=1),
        ]
        assert [run.late for run in await scheduled(factory, task)] == [True, False, False, False]


async def test_each_tick_in_a_long_wait_leaves_one_due_run(factory: Factory) -> None:
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory)
        for day in range(1, 4):
            moved.move_to(at("2026-06-01T12:30") + timedelta(days=day))
            await tick(factory)
            following = at("2026-06-02T06:30") + timedelta(days=day)
            assert await waiting(factory, task) == [at("2026-06-02T06:30"), following]


async def test_an_occurrence_waits_for_the_one_before_that_is_in_progress(factory: Factory) -> None:
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory)
        moved.shift(timedelta(days=1))
        await tick(factory)
        begun = await claim(factory, (await scheduled(factory, task))[0].id)
        assert begun
        moved.shift(timedelta(days=1))
        await tick(factory)
        assert await waiting(factory, task) == [at("2026-06-03T06:30"), at("2026-06-04T06:30")]
        await end(factory, begun)
        assert await claim(factory, (await scheduled(factory, task))[1].id)


async def test_a_run_that_began_before_the_tick_saw_it(factory: Factory) -> None:
    """The sweep may be quicker than the tick."""
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory)
        moved.move_to(at("2026-06-02T06:31"))
        run = await claim(factory, (await scheduled(factory, task))[0].id)
        assert run
        await tick(factory)
        assert await waiting(factory, task) == [at("2026-06-03T06:30")]
        assert [run.status for run in await scheduled(factory, task)] == ["in_progress", "waiting"]


async def test_what_was_missed_since_a_run_began_that_no_tick_saw(factory: Factory) -> None:
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory)
        moved.move_to(at("2026-06-02T06:31"))
        run = await claim(factory, (await scheduled(factory, task))[0].id)
        assert run
        await end(factory, run)
        moved.move_to(at("2026-06-05T12:00"))
        await tick(factory)
        assert await waiting(factory, task) == [at("2026-06-03T06:30"), at("2026-06-06T06:30")]


async def test_many_ticks_of_many_workers_make_one_run(factory: Factory, logs: list[Any]) -> None:
    other = Factory(factory.settings)
    try:
        with clock("2026-06-01T06:31") as moved:
            made = [await create(factory) for _ in range(5)]
            for _ in range(3):
                moved.shift(timedelta(days=1))
                await asyncio.gather(*(tick(worker) for _ in range(5) for worker in (factory, other)))
                following = utc_now() + timedelta(days=1, minutes=-1)
                for task in made:
                    assert await waiting(factory, task) == [at("2026-06-02T06:30"), following]
    finally:
        await other.close()
    assert contained(logs) == []


async def test_a_tick_that_comes_after_another_writer_changes_nothing(factory: Factory) -> None:
    """It read that the task is due, and got its turn when another tick or an edit had been there."""
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory)
        moved.shift(timedelta(days=1))
        await tick(factory)
        before = await scheduled(factory, task)
        assert await factory.schedule._advance(DISTRICT, task.id, utc_now()) is None
        assert await scheduled(factory, task) == before
        await factory.tasks.change(DISTRICT, USER, task.id, {"status": "inactive"}, None)
        assert await factory.schedule._advance(DISTRICT, task.id, utc_now()) is None
        await factory.schedule._correct(DISTRICT, task.id, utc_now())
        assert await scheduled(factory, task) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"timezone": "Mars/Olympus"},
        {"time": None},
        {"recurrence": []},
        {"recurrence": {"mon": 1.5, "x": None}},
        {"timezone": "Mars/Olympus", "next_run_at": None},
    ],
    ids=["zone", "time", "no day", "no list", "never placed"],
)
async def test_a_broken_task_never_blocks_the_others(
    factory: Factory, logs: list[Any], broken: dict[str, Any]
) -> None:
    await add_district(factory, "other")
    with clock("2026-06-01T12:30") as moved:
        made = [await create(factory, district=name) for name in (DISTRICT, DISTRICT, "other")]
        await change_row(factory, made[0], **broken)
        moved.shift(timedelta(days=1))
        await tick(factory)
        for task in made[1:]:
            assert await waiting(factory, task) == [at("2026-06-02T06:30"), at("2026-06-03T06:30")]
    assert contained(logs) == [str(made[0].id)]
    assert "Mars" not in str(logs)
    await change_row(factory, made[0], **{name: DAILY[name] for name in broken if name in DAILY})
    with clock("2026-06-02T12:30"):
        await tick(factory)
        assert await waiting(factory, made[0]) == [at("2026-06-02T06:30"), at("2026-06-03T06:30")]


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_a_task_that_somebody_is_writing_delays_no_other(factory: Factory, logs: list[Any]) -> None:
    with clock("2026-06-01T12:30") as moved:
        held, free = await create(factory), await create(factory)
        moved.shift(timedelta(days=1))
        async with factory.database.write() as session:
            await tasks.find(session, DISTRICT, held.id, to_change=True)
            async with asyncio.timeout(20):
                await tick(factory)
        assert await waiting(factory, free) == [at("2026-06-02T06:30"), at("2026-06-03T06:30")]
        assert (await task_now(factory, held)).next_run_at == at("2026-06-02T06:30")
        await tick(factory)
        assert await waiting(factory, held) == [at("2026-06-02T06:30"), at("2026-06-03T06:30")]
    assert contained(logs) == []


async def test_a_task_stored_before_schedules_ran_is_placed_from_now_on(factory: Factory) -> None:
    with clock("2026-06-01T12:30"):
        task = await create(factory)
        await change_row(factory, task, next_run_at=None)
        await write(factory, sa.delete(run_table))
        idle = await create(factory, status="inactive")
        await tick(factory)
        assert await waiting(factory, task) == [at("2026-06-02T06:30")]
        assert await waiting(factory, idle) == []


async def test_the_queue_is_nudged_after_the_commit(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    nudged: list[UUID] = []

    async def enqueue(run_id: UUID, nudge: str) -> bool:
        assert nudge == "due"
        nudged.append(run_id)
        assert len(await waiting(factory, task)) == 2
        return True

    monkeypatch.setattr(factory.queue, "enqueue_run", enqueue)
    with clock("2026-06-01T12:30") as moved:
        task = await create(factory)
        await tick(factory)
        assert nudged == []
        moved.shift(timedelta(days=1))
        await tick(factory)
        await tick(factory)
        assert nudged == [(await scheduled(factory, task))[0].id]


async def test_new_zone_data_moves_what_waits(
    factory: Factory, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a state does away with summer time: what is due and what has begun stay as they are."""
    with clock("2026-06-01T12:30") as moved:
        task, untouched, broken = (
            await create(factory),
            await create(factory, timezone="UTC"),
            await create(factory),
        )
        moved.shift(timedelta(days=1))
        await tick(factory)
        before = await scheduled(factory, untouched)
        await change_row(factory, broken, timezone="Mars/Olympus")
        monkeypatch.setattr(
            recurrence, "ZoneInfo", lambda name: ZoneInfo("Etc/GMT+5" if name == TIMEZONE else str(name))
        )
        other = Factory(factory.settings)
        try:
            await asyncio.gather(
                *(worker.schedule.recompute(utc_now()) for worker in (factory, other, factory, other))
            )
        finally:
            await other.close()
        assert await waiting(factory, task) == [at("2026-06-02T06:30"), at("2026-06-03T07:30")]
        assert await scheduled(factory, untouched) == before
    assert set(contained(logs)) == {str(broken.id)}


def contained(logs: list[Any]) -> list[str]:
    """Return the tasks that were logged for what went wrong with them."""
    return [event["task_id"] for event in logs if event["event"] == "task_not_scheduled"]
