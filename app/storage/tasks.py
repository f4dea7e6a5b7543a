"""Queries on tasks."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import TaskStatus
from app.models import District, Task
from app.storage.filters import any_of, between, containing, exact, named
from app.storage.pages import OF_DISTRICT, Listing, Page, PageRequest, fetch_page

task = Task.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
district = District.__table__  # type: ignore[attr-defined] # as above

LISTING = Listing(
    name="tasks",
    rows=sa.select(task).where(task.c.district_id == OF_DISTRICT),
    key=(task.c.id,),
    default="-created_at",
    sortable=named(
        task.c.description,
        task.c.status,
        task.c.scheduled_start_date,
        task.c.time,
        task.c.timezone,
        task.c.next_run_at,
        task.c.created_by,
        task.c.updated_by,
        task.c.created_at,
        task.c.updated_at,
    ),
    filters={
        **exact(task.c.time, task.c.timezone, task.c.created_by, task.c.updated_by),
        **any_of(task.c.status),
        **containing(task.c.description, recurrence=sa.cast(task.c.recurrence, sa.Text)),  # ["mon", …]
        **between(
            scheduled_start_date=task.c.scheduled_start_date,
            next_run=task.c.next_run_at,
            created=task.c.created_at,
            updated=task.c.updated_at,
        ),
    },
    searched=(task.c.description, task.c.status, task.c.timezone, task.c.created_by, task.c.updated_by),
)


async def page(connection: AsyncConnection, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
    """Return a page of tasks."""
    return await fetch_page(connection, LISTING, district_id, request)


async def find(
    session: AsyncSession, district_id: str, task_id: UUID, *, to_change: bool = False
) -> Task | None:
    """Return the task, or None; `to_change` keeps other writers out until the transaction ends."""
    query = _by_id(district_id, task_id)
    return await _one(session, query.with_for_update() if to_change else query)


async def find_free(session: AsyncSession, district_id: str, task_id: UUID) -> Task | None:
    """Return the task, kept from other writers until the transaction ends; None while one of them has it.

    A run that is being added to the task does not count as one (`key_share`).
    """
    return await _one(session, _by_id(district_id, task_id).with_for_update(key_share=True, skip_locked=True))


def _by_id(district_id: str, task_id: UUID) -> Any:
    return sa.select(Task).where(task.c.district_id == district_id, task.c.id == task_id)


async def _one(session: AsyncSession, query: Any) -> Task | None:
    found: Task | None = (await session.exec(query)).scalar_one_or_none()
    return found


async def due(connection: AsyncConnection, now: datetime) -> list[tuple[str, UUID]]:
    """Return (district, task) of the active tasks of all districts that are due or were never scheduled.

    The tick is one of the named exceptions to "every query is of one district".
    """
    query = (
        sa.select(task.c.district_id, task.c.id)
        .join(district, district.c.id == task.c.district_id)
        .where(
            task.c.status == TaskStatus.ACTIVE,
            district.c.paused_since.is_(None),
            sa.or_(task.c.next_run_at <= now, task.c.next_run_at.is_(None)),
        )
        .order_by(task.c.next_run_at)
    )
    return [(row.district_id, row.id) for row in await connection.execute(query)]


async def active(session: AsyncSession, district_id: str) -> list[Task]:
    """Return the district's active tasks, kept from other writers until the transaction ends."""
    query: Any = sa.select(Task).where(task.c.district_id == district_id, task.c.status == TaskStatus.ACTIVE)
    return list((await session.exec(query.order_by(task.c.id).with_for_update())).scalars())


async def scheduled(session: AsyncSession, now: datetime) -> list[Task]:
    """Return the active tasks of all districts whose next run lies ahead; for the tick's start."""
    query: Any = sa.select(Task).where(task.c.status == TaskStatus.ACTIVE, task.c.next_run_at > now)
    return list((await session.exec(query)).scalars())
