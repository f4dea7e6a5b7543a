"""Scheduled tasks to test: a clock that is moved, what stands on the list, and runs that come and go."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
import time_machine

from app.constants import DAYS, RunStatus
from app.factory import Factory
from app.models import Run, Task
from app.models.base import utc_now
from app.storage import due_runs, runs
from tests.support.imports import DISTRICT, TIMEZONE, USER, run_table, select, write

task_table = Task.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
DAILY = {
    "description": "nightly",
    "status": "active",
    "scheduled_start_date": date(2020, 1, 1),
    "time": time(2, 30),
    "timezone": TIMEZONE,
    "recurrence": list(DAYS),
}


def at(text: str) -> datetime:
    """Return an instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@contextmanager
def clock(text: str) -> Iterator[time_machine.Traveller]:
    """Stop the clock at an instant of UTC; it moves when it is told to."""
    with time_machine.travel(at(text), tick=False) as traveller:
        yield traveller


async def create(factory: Factory, user: str = USER, district: str = DISTRICT, **changes: Any) -> Task:
    return await factory.tasks.create(district, user, DAILY | changes)


async def task_now(factory: Factory, task: Task) -> Task:
    return await factory.tasks.get(task.district_id, task.id)


async def tick(factory: Factory) -> None:
    await factory.schedule.tick(utc_now())


async def scheduled(factory: Factory, task: Task) -> list[Run]:
    """Return the task's scheduled runs by due time."""
    query = sa.select(run_table).where(run_table.c.task_id == task.id, run_table.c.slot.is_not(None))
    return [Run(**row) for row in await select(factory, query.order_by(run_table.c.slot))]


async def waiting(factory: Factory, task: Task) -> list[datetime]:
    """Return the due times that wait; the one to come, if there is one, has to be the task's next run."""
    found = [run for run in await scheduled(factory, task) if run.status == RunStatus.WAITING]
    assert all(run.scheduled_start == run.slot for run in found)
    next_run_at = (await task_now(factory, task)).next_run_at
    assert [run.slot for run in found if run.slot and run.slot > utc_now()] == [
        instant for instant in (next_run_at,) if instant
    ]
    return [run.scheduled_start for run in found]


async def claim(factory: Factory, run_id: UUID) -> Run | None:
    """Begin a run as a worker does; None when it is not there to be taken."""
    async with factory.database.write() as session:
        return await due_runs.claim(await session.connection(), run_id, uuid4(), utc_now(), from_disk=False)


async def end(factory: Factory, run: Run) -> None:
    assert run.owner is not None
    async with factory.database.write() as session:
        connection = await session.connection()
        assert await runs.finish(connection, run.id, run.owner, RunStatus.SUCCEEDED, utc_now())


async def work(factory: Factory, task: Task) -> None:
    """Execute what is due of a task."""
    for run in await scheduled(factory, task):
        if run.status == RunStatus.WAITING and (claimed := await claim(factory, run.id)):
            await end(factory, claimed)


async def live(factory: Factory, task: Task, clock: time_machine.Traveller, days: float) -> list[Run]:
    """Let time pass by the hour, with ticks and a worker; return the runs that have ended."""
    until = utc_now() + timedelta(days=days)
    while utc_now() < until:
        await tick(factory)
        await work(factory, task)
        clock.shift(timedelta(hours=1))
    return [run for run in await scheduled(factory, task) if run.status == RunStatus.SUCCEEDED]


async def change_row(factory: Factory, task: Task, **values: Any) -> None:
    """Change a task behind the service's back."""
    await write(factory, sa.update(task_table).where(task_table.c.id == task.id).values(**values))
