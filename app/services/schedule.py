"""Keeps the next occurrence of every active task on the list of runs, and lets it begin when due (I7, I9).

An occurrence is a row: a waiting run with its due time, unique in its task. So whoever looks at the clock,
however often and from however many workers, makes one run of it. Everybody locks the task first and its
runs after that; what nobody has begun is moved by removing it and adding another.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import RunKind, RunTrigger, TaskStatus
from app.database import Database
from app.job_queue import JobQueue
from app.logs import trace
from app.models import Run, Task
from app.models.base import utc_now
from app.reach import everywhere, within_district
from app.services.recurrence import next_occurrence
from app.storage import districts, scheduled_runs, tasks

MESSAGES = 64
"""Sent at one look: each wakes a worker, which then goes on by itself as long as anything is due."""
LOOK = 10.0
"""Seconds after which one look leaves what else is due to the next, on whichever worker that is."""

log = structlog.get_logger()


class Schedule:
    """What a worker does for the tasks of all districts; safe beside others who do the same."""

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    async def tick(self, now: datetime) -> None:
        """Let the tasks begin that are due, and place the occurrence after it of each.

        What was missed while nobody looked is made up for by one run, the first that was missed. One look is
        short: nothing waits for it, as the occurrences that are due stand on the list already.
        """
        began = time.monotonic()
        with everywhere():
            async with self._database.read() as session:
                due = await tasks.due(await session.connection(), now)
        sent, answers = 0, True
        for number, (district_id, task_id) in enumerate(due):
            if number and time.monotonic() - began >= LOOK:
                log.info("tick_goes_on", seen=number, left=len(due) - number)
                break
            with contained(task_id), within_district(district_id):
                run_id = await self._advance(district_id, task_id, now)
                if run_id is not None and answers and sent < MESSAGES:
                    answers = await self._queue.enqueue_run(run_id, "due")
                    sent += answers

    async def _advance(self, district_id: str, task_id: UUID, now: datetime) -> UUID | None:
        """Place the task's occurrence after `now`; return its run that is due, if one waits.

        1. A task that another writer has just now is left to the next tick, so that it delays no other.
        2. Where a run that is due waits already, that one is enough: later ones that nobody has begun go.
        3. Where a worker was quicker than the tick, none waits. What came due after it began is missed
           like any other.
        4. The next occurrence is placed.
        """
        async with self._database.write() as session:
            task = await tasks.find_free(session, district_id, task_id)
            if task is None or not is_due(task, now):
                return None
            connection = await session.connection()
            due = await scheduled_runs.oldest_due(connection, task, now)
            if due is None and (began := await scheduled_runs.began(connection, task)):
                await place_next(session, task, began)
                due = await scheduled_runs.oldest_due(connection, task, now)
            if due is not None:
                await scheduled_runs.remove_waiting(connection, task, after=due.slot)
            if is_due(task, now):
                await place_next(session, task, now)
        return due.id if due else None

    async def recompute(self, now: datetime) -> None:
        """Move the occurrences that another release of the time zone data puts elsewhere."""
        with everywhere():
            async with self._database.read() as session:
                scheduled = await tasks.scheduled(session, now)
        for task in scheduled:
            with contained(task.id), within_district(task.district_id):
                if occurrence_after(task, now) != task.next_run_at:
                    await self._correct(task.district_id, task.id, now)

    async def _correct(self, district_id: str, task_id: UUID, now: datetime) -> None:
        async with self._database.write() as session:
            task = await tasks.find(session, district_id, task_id, to_change=True)
            if task is None or task.next_run_at is None or is_due(task, now):
                return
            slot = await _next_slot(await session.connection(), task, now)
            if slot != task.next_run_at:
                await place_next(session, task, now)
                log.info("task_moved", task_id=str(task_id))


@contextmanager
def contained(task_id: UUID) -> Iterator[None]:
    """Log what goes wrong with one task, so that it never blocks the others."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the other tasks are due as well
        log.error("task_not_scheduled", task_id=str(task_id), **trace(error))  # noqa: TRY400 - as above


def is_due(task: Task, now: datetime) -> bool:
    """Tell whether an active task's next occurrence has come, or was never placed."""
    return task.status == TaskStatus.ACTIVE and (task.next_run_at is None or task.next_run_at <= now)


def occurrence_after(task: Task, after: datetime) -> datetime:
    """Return the first due time of an active task after an instant, in UTC."""
    assert task.scheduled_start_date is not None, "an active task has a start date"
    assert task.time is not None, "an active task has a time"
    return next_occurrence(task.scheduled_start_date, task.time, task.timezone, task.recurrence, after)


async def reschedule(session: AsyncSession, task: Task, now: datetime) -> None:
    """Take back the task's runs that nobody has begun, due ones too, and place its next if it is active.

    The caller has stored the task and keeps it from other writers.
    """
    await scheduled_runs.remove_waiting(await session.connection(), task)
    task.next_run_at = None
    if task.status == TaskStatus.ACTIVE:
        await place_next(session, task, now)


async def rest(session: AsyncSession, district_id: str) -> None:
    """Take back what waits of a district that was paused in this transaction; its tasks have no next run."""
    for task in await tasks.active(session, district_id):
        await scheduled_runs.remove_waiting(await session.connection(), task)
        task.next_run_at = None


async def place_next(session: AsyncSession, task: Task, now: datetime) -> None:
    """Make the first occurrence after `now` that is not settled the next run of an active task.

    In a paused district it has none. The caller keeps the task from other writers, `rest` included.
    """
    connection = await session.connection()
    if await districts.is_paused(session, task.district_id):
        await scheduled_runs.remove_waiting(connection, task)
        task.next_run_at = None
        return
    slot = await _next_slot(connection, task, now)
    await scheduled_runs.remove_waiting(connection, task, after=now)
    task.next_run_at = slot
    session.add(
        Run(
            district_id=task.district_id,
            task_id=task.id,
            task_description=task.description,
            kind=RunKind.IMPORT,
            trigger=RunTrigger.SCHEDULE,
            slot=slot,
            scheduled_start=slot,
            run_by=task.scheduled_by,
        )
    )
    await session.flush()


async def after_cancel(session: AsyncSession, run: Run) -> None:
    """Place the occurrence after one that a person has cancelled, which stays cancelled.

    The caller locked the run's task before it changed the run.
    """
    if run.slot is None or run.task_id is None:
        return
    task = await tasks.find(session, run.district_id, run.task_id, to_change=True)
    if task is not None and task.next_run_at == run.slot:
        await place_next(session, task, utc_now())


async def _next_slot(connection: AsyncConnection, task: Task, after: datetime) -> datetime:
    slot = occurrence_after(task, after)
    while await scheduled_runs.is_settled(connection, task, slot):
        slot = occurrence_after(task, slot)
    return slot
