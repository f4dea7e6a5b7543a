"""A paused district: its schedule rests, all else goes on, and nothing is made up for afterwards."""

import asyncio

import pytest

from app.constants import RunStatus
from app.errors import NotFoundError
from app.factory import Factory
from app.models.base import utc_now
from app.services.runs import RunOptions
from app.services.schedule import reschedule
from app.storage import tasks
from tests.support.imports import DISTRICT, USER, add_district
from tests.support.schedules import at, claim, clock, create, end, live, scheduled, task_now, tick, waiting

HERE = DISTRICT


async def test_while_it_is_paused_no_task_is_due_and_none_is_shown_as_waiting(factory: Factory) -> None:
    with clock("2026-06-01T12:00") as time:
        task = await create(factory)
        await add_district(factory, "other")
        theirs = await create(factory, district="other")
        await factory.districts.pause(HERE)
        assert await waiting(factory, task) == []
        assert (await task_now(factory, task)).next_run_at is None
        assert await live(factory, task, time, days=10) == []
        assert await waiting(factory, task) == []
        await tick(factory)
        assert len(await waiting(factory, theirs)) == 2, "a due one that nobody took, and the next"


async def test_after_it_the_next_occurrence_is_the_first_to_come(factory: Factory) -> None:
    with clock("2026-06-01T12:00") as time:
        task = await create(factory)
        await factory.districts.pause(HERE)
        time.move_to(at("2026-08-20T12:00"))
        await factory.districts.resume(HERE)
        await tick(factory)
        assert await waiting(factory, task) == [at("2026-08-21T06:30")]
        assert len(await live(factory, task, time, days=3)) == 3


@pytest.mark.parametrize("change", ["create", "edit", "cancel", "recompute"])
async def test_nothing_that_people_do_to_a_task_wakes_it(factory: Factory, change: str) -> None:
    with clock("2026-06-01T12:00"):
        task = await create(factory)
        if change == "cancel":
            (run,) = await scheduled(factory, task)
            began = at("2026-06-02T06:31")
            with clock(f"{began:%Y-%m-%dT%H:%M}"):
                claimed = await claim(factory, run.id)
                await factory.districts.pause(HERE)
                await factory.runs.cancel(HERE, run.id)
            assert claimed
        else:
            await factory.districts.pause(HERE)
        match change:
            case "create":
                task = await create(factory)
            case "edit":
                await factory.tasks.change(HERE, USER, task.id, {"recurrence": ["mon"]}, None)
            case "recompute":
                await factory.schedule.recompute(utc_now())
        assert await waiting(factory, task) == []
        assert (await task_now(factory, task)).next_run_at is None


async def test_a_run_that_goes_on_goes_on_and_people_may_start_one(factory: Factory) -> None:
    with clock("2026-06-01T12:00") as time:
        task = await create(factory)
        time.move_to(at("2026-06-02T06:31"))
        (run,) = await scheduled(factory, task)
        claimed = await claim(factory, run.id)
        await factory.districts.pause(HERE)
        assert claimed
        assert [found.status for found in await scheduled(factory, task)] == [RunStatus.IN_PROGRESS]
        await end(factory, claimed)
        mine = await factory.runs.start(HERE, task.id, USER, RunOptions())
        assert await claim(factory, mine.id)


async def test_pausing_twice_keeps_the_first_day(factory: Factory) -> None:
    with clock("2026-06-01T12:00") as time:
        await factory.districts.pause(HERE)
        time.move_to(at("2026-06-05T12:00"))
        await factory.districts.pause(HERE)
        assert (await factory.districts.get(HERE)).paused_since == at("2026-06-01T12:00")


@pytest.mark.parametrize("what", ["pause", "resume"])
async def test_an_unknown_district_is_named(factory: Factory, what: str) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        await getattr(factory.districts, what)("nowhere")


async def test_a_task_that_is_placed_at_that_moment_rests_too(factory: Factory) -> None:
    """Pausing waits for whoever has a task just now, so that nothing is left on the list."""
    task = await create(factory)
    async with factory.database.write() as session:
        held = await tasks.find(session, HERE, task.id, to_change=True)
        pausing = asyncio.create_task(factory.districts.pause(HERE))
        done, _ = await asyncio.wait([pausing], timeout=0.5)
        assert not done
        assert held
        await reschedule(session, held, utc_now())
        assert held.next_run_at
    await pausing
    assert await waiting(factory, task) == []
    assert (await task_now(factory, task)).next_run_at is None
