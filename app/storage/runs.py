"""Queries on runs. Every change of status is a compare-and-swap on status and owner.

Who executes which is in `due_runs.py`.
"""

from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audit_source import Source, this_host
from app.constants import AuditAction, AuditInterface, AuditRecord, RunKind, RunPhase, RunStatus
from app.models import Run
from app.storage import encrypted
from app.storage.audit_events import Change, record
from app.storage.filters import any_of, between, containing, exact, named
from app.storage.pages import OF_DISTRICT, Listing, Page, PageRequest, fetch_page

Row: TypeAlias = sa.Row[Any]
run = Run.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

LISTING = Listing(
    name="runs",
    rows=sa.select(run).where(run.c.district_id == OF_DISTRICT),
    key=(run.c.id,),
    default="-scheduled_start",
    sortable=named(
        run.c.task_description,
        run.c.kind,
        run.c.trigger,
        run.c.status,
        run.c.phase,
        run.c.progress,
        run.c.scheduled_start,
        run.c.actual_start,
        run.c.run_by,
        run.c.late,
        run.c.file_name,
        run.c.failure_code,
        end=run.c.ended_at,
    ),
    filters={
        **exact(run.c.task_id, run.c.run_by, run.c.late, run.c.failure_code),
        **exact(run.c.progress, run.c.file_sha256),
        **exact(file_reused=sa.case((run.c.file_name.is_not(None), run.c.file_reused))),
        **exact(report=sa.and_(run.c.report_pdf.is_not(None), run.c.lists_expired_at.is_(None))),
        **any_of(run.c.kind, run.c.trigger, run.c.status, run.c.phase),
        **containing(run.c.task_description, run.c.file_name, run.c.file_datestamp),
        **between(scheduled=run.c.scheduled_start, started=run.c.actual_start, ended=run.c.ended_at),
    },
    searched=(
        run.c.task_description,
        run.c.kind,
        run.c.trigger,
        run.c.status,
        run.c.phase,
        run.c.run_by,
        run.c.file_name,
        run.c.failure_code,
        run.c.failure_message,
    ),
)

ENDED = (
    run.c.id,
    run.c.district_id,
    run.c.run_by,
    run.c.request_id,
    run.c.kind,
    run.c.status,
    run.c.failure_code,
    run.c.summary,
)
"""What an audit event tells of a run that has ended."""

REPLACE_STALE = timedelta(seconds=10)
"""A replace whose run's heartbeat is older refuses no writer any more, but for the guard."""


async def update_owned(connection: AsyncConnection, run_id: UUID, owner: UUID, **values: Any) -> bool:
    """Change columns of a run that `owner` executes; False when it no longer does."""
    result = await connection.execute(sa.update(run).where(_owned(run_id, owner)).values(**values))
    return result.rowcount == 1


def _owned(run_id: UUID, owner: UUID) -> sa.ColumnElement[bool]:
    return sa.and_(run.c.id == run_id, run.c.owner == owner, run.c.status == RunStatus.IN_PROGRESS)


async def put_back(connection: AsyncConnection, run_id: UUID, owner: UUID) -> bool:
    """Let somebody else execute a run that `owner` had begun; False when it no longer does.

    An orderly restart of a worker is no attempt: those count what took workers down.
    """
    waiting = {"status": RunStatus.WAITING, "phase": None, "progress": 0, "attempt": run.c.attempt - 1}
    return await update_owned(connection, run_id, owner, **waiting)


async def mark_replace(
    connection: AsyncConnection, run_id: UUID, owner: UUID, since: datetime | None
) -> bool:
    """Mark that the district's records are being replaced, or with None that they are not after all.

    Committed before the replace begins: from here on the run cannot be cancelled, and where Redis is away
    writers are refused. False when the run is no longer `owner`'s.
    """
    phase = {"phase": RunPhase.REPLACE} if since else {}
    return await update_owned(connection, run_id, owner, replacing_since=since, **phase)


async def replacing(connection: AsyncConnection, district_id: str, now: datetime) -> Row | None:
    """Return (id, replacing_since) of the run that replaces the district's records just now, if one does."""
    query = sa.select(run.c.id, run.c.replacing_since).where(
        run.c.district_id == district_id,
        run.c.status == RunStatus.IN_PROGRESS,
        run.c.replacing_since.is_not(None),
        run.c.heartbeat_at > now - REPLACE_STALE,
    )
    return (await connection.execute(query)).one_or_none()


async def last_replacing(connection: AsyncConnection, district_id: str) -> UUID | None:
    """Return the run that replaced the district's records last, or does so now."""
    query = (
        sa.select(run.c.id)
        .where(run.c.district_id == district_id, run.c.replacing_since.is_not(None))
        .order_by(run.c.replacing_since.desc())
        .limit(1)
    )
    return (await connection.execute(query)).scalar_one_or_none()


async def finish(
    connection: AsyncConnection, run_id: UUID, owner: UUID, status: RunStatus, now: datetime, **values: Any
) -> bool:
    """End a run that `owner` executes, and audit it; False when it no longer does."""
    statement = sa.update(run).where(_owned(run_id, owner)).values(status=status, ended_at=now, **values)
    return await end_audited(connection, statement) == 1


async def end_audited(connection: AsyncConnection, statement: sa.Update) -> int:
    """Execute a statement that ends runs, record that they have ended, and return how many it ended.

    What an import changed of whom is in its findings, and counts alone are here. The actor is who started
    it, or made its schedule.
    """
    ended = (await connection.execute(statement.returning(*ENDED))).all()
    for found in ended:
        source = Source(
            found.run_by,
            AuditInterface.IMPORT,
            address=this_host(),
            request_id=found.request_id,
            run_id=found.id,
        )
        after = {name: getattr(found, name) for name in ("kind", "status", "failure_code", "summary")}
        change = Change(AuditAction.ENDED, AuditRecord.RUN, found.id, None, after)
        await record(connection, found.district_id, change, source=source)
    return len(ended)


def error_log_place(run_id: UUID) -> str:
    """Return where the ciphertext of a run's error log belongs, as its associated data."""
    return encrypted.place(run.c.error_log_encrypted, run_id)


async def find(session: AsyncSession, district_id: str, run_id: UUID) -> Run | None:
    """Return the district's run of this id, or None."""
    query: Any = sa.select(Run).where(run.c.district_id == district_id, run.c.id == run_id)
    found: Run | None = (await session.exec(query)).scalar_one_or_none()
    return found


async def page(connection: AsyncConnection, district_id: str, request: PageRequest) -> Page[Row]:
    """Return a page of the district's runs, in rows of all columns: entities would take far longer."""
    return await fetch_page(connection, LISTING, district_id, request)


async def unfinished(connection: AsyncConnection, district_id: str, now: datetime) -> UUID | None:
    """Return the district's run that is in progress, or else one that is due and waiting."""
    query = (
        sa.select(run.c.id)
        .where(
            run.c.district_id == district_id,
            sa.or_(
                run.c.status == RunStatus.IN_PROGRESS,
                sa.and_(run.c.status == RunStatus.WAITING, run.c.scheduled_start <= now),
            ),
        )
        .order_by(run.c.status, run.c.scheduled_start)
        .limit(1)
    )
    return (await connection.execute(query)).scalar_one_or_none()


async def newest_imported_datestamp(connection: AsyncConnection, district_id: str) -> str | None:
    """Return the datestamp of the latest file that was imported, as the run rows remember it."""
    query = sa.select(sa.func.max(run.c.file_datestamp)).where(
        run.c.district_id == district_id,
        run.c.status == RunStatus.SUCCEEDED,
        run.c.kind == RunKind.IMPORT,
    )
    newest: str | None = (await connection.execute(query)).scalar_one()
    return newest
