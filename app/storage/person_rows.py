"""Queries for the export and the erasure of one person."""

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FINAL_STATUSES, AuditAction, AuditRecord, RunStatus
from app.models import Employee, Run
from app.storage.audit_events import event, payload

employee = Employee.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
run = Run.__table__  # type: ignore[attr-defined] # same

BATCH = 5000
"""Ids in one statement."""


async def employees(
    connection: AsyncConnection, district_id: str, number: str | None, key: str | None
) -> list[Employee]:
    """Return the employees who have this number or this Educator ID."""
    alike = sa.or_(
        employee.c.employee_number == number if number is not None else sa.false(),
        employee.c.educator_key == key if key is not None else sa.false(),
    )
    query = sa.select(employee).where(employee.c.district_id == district_id, alike)
    return [Employee(**row) for row in (await connection.execute(query)).mappings()]


async def former_records(
    connection: AsyncConnection, district_id: str, number: str | None
) -> list[dict[str, Any]]:
    """Return what the audit trail has of an employee's record, of one who was deleted as well.

    Each is a whole record, or what a change made of it, before and after; the newest is the last.
    """
    if number is None:
        return []
    query = (
        sa.select(payload.c.content)
        .join(event, event.c.id == payload.c.event_id)
        .where(
            payload.c.employee_number == number,
            payload.c.district_id == district_id,
            event.c.record_type == AuditRecord.EMPLOYEE,
        )
        .order_by(event.c.at, event.c.id)
    )
    contents = [json.loads(text) for text in (await connection.execute(query)).scalars()]
    return [content[side] for content in contents for side in ("before", "after") if content[side]]


async def deleted(connection: AsyncConnection, district_id: str) -> list[tuple[str, str | None]]:
    """Return number and Educator ID of every deleted employee, as far as the audit trail goes back."""
    query = (
        sa.select(payload.c.employee_number, payload.c.content)
        .join(event, event.c.id == payload.c.event_id)
        .where(
            payload.c.district_id == district_id,
            event.c.record_type == AuditRecord.EMPLOYEE,
            event.c.action == AuditAction.DELETED,
        )
    )
    return [
        (row.employee_number, json.loads(row.content)["before"].get("state_staff_id"))
        for row in await connection.execute(query)
    ]


async def stored_numbers(connection: AsyncConnection, district_id: str, numbers: Collection[str]) -> set[str]:
    """Return which of these are numbers of employees who are stored."""
    query = sa.select(employee.c.employee_number).where(
        employee.c.district_id == district_id, employee.c.employee_number.in_(numbers)
    )
    return set((await connection.execute(query)).scalars())


async def others_keys(
    connection: AsyncConnection, district_id: str, keys: Collection[str], row_id: int | None
) -> set[str]:
    """Return which of these Educator IDs employees other than that of `row_id` have now."""
    query = sa.select(employee.c.educator_key).where(
        employee.c.district_id == district_id,
        employee.c.educator_key.in_(keys),
        employee.c.id != row_id if row_id is not None else sa.true(),
    )
    return set((await connection.execute(query)).scalars())


async def runs(connection: AsyncConnection, district_id: str, ids: Collection[UUID]) -> list[Run]:
    """Return these runs."""
    found = []
    wanted = sorted(ids)
    for start in range(0, len(wanted), BATCH):
        some = run.c.id.in_(wanted[start : start + BATCH])
        query = sa.select(run).where(run.c.district_id == district_id, some)
        found += [Run(**row) for row in (await connection.execute(query)).mappings()]
    return found


async def run_in_progress(connection: AsyncConnection, district_id: str) -> UUID | None:
    """Return the district's run that is in progress; none begins until the transaction ends.

    Whoever holds the district's row keeps new runs out; those that wait are locked here.
    """
    unfinished = run.c.status.in_((RunStatus.IN_PROGRESS, RunStatus.WAITING))
    query = (
        sa.select(run.c.id, run.c.status)
        .where(run.c.district_id == district_id, unfinished)
        .order_by(run.c.id)
        .with_for_update()
    )
    found = (await connection.execute(query)).all()
    return next((row.id for row in found if row.status == RunStatus.IN_PROGRESS), None)


async def mark_redacted(
    connection: AsyncConnection, district_id: str, ids: Collection[UUID], now: datetime
) -> None:
    """Note in runs that their lists lost lines, and let their PDFs be made again."""
    wanted = sorted(ids)
    for start in range(0, len(wanted), BATCH):
        await connection.execute(
            sa.update(run)
            .where(
                run.c.district_id == district_id,
                run.c.id.in_(wanted[start : start + BATCH]),
                run.c.status.in_(FINAL_STATUSES),
                run.c.lists_expired_at.is_(None),
            )
            .values(lists_redacted_at=now, report_pdf=None, report_tries=0, report_tried_at=None)
        )
