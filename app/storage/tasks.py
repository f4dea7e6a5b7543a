"""Queries on tasks."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import Task
from app.storage.pages import Order, Page, PageRequest, fetch_page

task = Task.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

NEWEST_FIRST = Order("tasks", (task.c.created_at, task.c.id), descending=True)


async def page(session: AsyncSession, district_id: str, request: PageRequest) -> Page[Task]:
    """Return a page of tasks, the newest first."""
    query = sa.select(Task).where(task.c.district_id == district_id)
    return await fetch_page(session, query, NEWEST_FIRST, request)


async def find(
    session: AsyncSession, district_id: str, task_id: UUID, *, to_change: bool = False
) -> Task | None:
    """Return the task, or None; `to_change` keeps other writers out until the transaction ends."""
    query: Any = sa.select(Task).where(task.c.district_id == district_id, task.c.id == task_id)
    if to_change:
        query = query.with_for_update()
    found: Task | None = (await session.exec(query)).scalar_one_or_none()
    return found
