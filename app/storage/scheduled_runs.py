"""Queries on the runs of the schedule: an occurrence of a task is one row, its due time is the slot."""

from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import RunStatus
from app.models import Run, Task

Row: TypeAlias = sa.Row[Any]
run = Run.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


def _scheduled(task: Task) -> sa.ColumnElement[bool]:
    return sa.and_(run.c.district_id == task.district_id, run.c.task_id == task.id, run.c.slot.is_not(None))


def _not_begun(task: Task) -> sa.ColumnElement[bool]:
    """Exclude also what a stopping worker put back: such a run goes on like one in progress."""
    waiting = sa.and_(run.c.status == RunStatus.WAITING, run.c.actual_start.is_(None))
    return sa.and_(_scheduled(task), waiting)


async def oldest_due(connection: AsyncConnection, task: Task, now: datetime) -> Row | None:
    """Return (id, slot) of the first of the task's scheduled runs that are due and wait, if there is one."""
    query = (
        sa.select(run.c.id, run.c.slot)
        .where(_scheduled(task), run.c.status == RunStatus.WAITING, run.c.slot <= now)
        .order_by(run.c.slot)
        .limit(1)
    )
    return (await connection.execute(query)).one_or_none()


async def began(connection: AsyncConnection, task: Task) -> datetime | None:
    """Return when the task's next run began, if a worker was quicker than the tick."""
    query = sa.select(run.c.actual_start).where(_scheduled(task), run.c.slot == task.next_run_at)
    return (await connection.execute(query)).scalar_one_or_none()


async def is_settled(connection: AsyncConnection, task: Task, slot: datetime) -> bool:
    """Tell whether the occurrence was begun or cancelled, so that it is not to be placed again."""
    settled = sa.exists().where(_scheduled(task), run.c.slot == slot, sa.not_(_not_begun(task)))
    return bool((await connection.execute(sa.select(settled))).scalar_one())


async def remove_waiting(connection: AsyncConnection, task: Task, *, after: datetime | None = None) -> None:
    """Take back the task's scheduled runs that nobody has begun; with `after`, only those of later slots."""
    statement = sa.delete(run).where(_not_begun(task))
    if after is not None:
        statement = statement.where(run.c.slot > after)
    await connection.execute(statement)


async def rename_waiting(connection: AsyncConnection, task: Task) -> None:
    """Let the task's scheduled runs that nobody has begun bear its description."""
    await connection.execute(sa.update(run).where(_not_begun(task)).values(task_description=task.description))
