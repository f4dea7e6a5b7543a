"""Queries on runs. Every change of status is a compare-and-swap on status and owner."""

from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import RunKind, RunPhase, RunStatus
from app.failures import WorkerLost
from app.models import Run
from app.storage.filters import any_of, between, containing, exact, named
from app.storage.pages import Listing, Page, PageRequest, fetch_page

Row: TypeAlias = sa.Row[Any]
run = Run.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

LISTING = Listing(
    name="runs",
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
        **exact(report=run.c.report_pdf.is_not(None)),
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

STALE = timedelta(seconds=20)
"""A run in progress whose heartbeat is older has lost its worker."""
REPLACE_STALE = timedelta(seconds=10)
"""A replace whose run's heartbeat is older refuses no writer any more, but for the guard."""
CLOCK_SKEW = timedelta(seconds=2)
"""How far the clock of a worker may be behind that of whoever made a run due now."""
LATE = timedelta(minutes=1)
"""A scheduled run that begins later than this after its due time is marked late (I7)."""


def _lost(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(run.c.status == RunStatus.IN_PROGRESS, run.c.heartbeat_at < now - STALE)


async def claim(
    connection: AsyncConnection, run_id: UUID, owner: UUID, now: datetime, *, from_disk: bool
) -> Run | None:
    """Make `owner` the one who executes the run; None when another does, or it is not due or has ended.

    Takes over a run whose worker was lost. A run whose file is on somebody's disk is only for one who has
    that file (`from_disk`): a worker would import another one, from the state. Raises IntegrityError while
    another run of the district is in progress.
    """
    statement = (
        sa.update(run)
        .where(
            run.c.id == run_id,
            run.c.from_disk == from_disk,
            sa.or_(
                sa.and_(run.c.status == RunStatus.WAITING, run.c.scheduled_start <= now + CLOCK_SKEW),
                _lost(now),
            ),
        )
        .values(
            status=RunStatus.IN_PROGRESS,
            phase=RunPhase.FETCH,
            progress=0,
            attempt=run.c.attempt + 1,
            owner=owner,
            heartbeat_at=now,
            replacing_since=None,
            late=sa.case(
                (run.c.actual_start.is_not(None), run.c.late),
                else_=sa.and_(run.c.slot.is_not(None), sa.func.coalesce(run.c.slot < now - LATE, sa.false())),
            ),
            actual_start=sa.func.coalesce(run.c.actual_start, sa.literal(now, run.c.actual_start.type)),
        )
        .returning(*run.c)
    )
    row = (await connection.execute(statement)).mappings().one_or_none()
    return Run(**row) if row else None


async def update_owned(connection: AsyncConnection, run_id: UUID, owner: UUID, **values: Any) -> bool:
    """Change columns of a run that `owner` executes; False when it no longer does."""
    result = await connection.execute(
        sa.update(run)
        .where(run.c.id == run_id, run.c.owner == owner, run.c.status == RunStatus.IN_PROGRESS)
        .values(**values)
    )
    return result.rowcount == 1


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
    """End a run that `owner` executes; False when it no longer does."""
    return await update_owned(connection, run_id, owner, status=status, ended_at=now, **values)


def error_log_place(run_id: UUID) -> str:
    """Return where the ciphertext of a run's error log belongs, as its associated data."""
    return f"run/error_log/{run_id}"


async def find(session: AsyncSession, district_id: str, run_id: UUID) -> Run | None:
    """Return the district's run of this id, or None."""
    query: Any = sa.select(Run).where(run.c.district_id == district_id, run.c.id == run_id)
    found: Run | None = (await session.exec(query)).scalar_one_or_none()
    return found


async def page(session: AsyncSession, district_id: str, request: PageRequest) -> Page[Run]:
    """Return a page of the district's runs."""
    query = sa.select(Run).where(run.c.district_id == district_id)
    return await fetch_page(session, query, LISTING, request)


async def abandoned(connection: AsyncConnection, now: datetime, patience: timedelta) -> list[UUID]:
    """Return runs of all districts that need a nudge.

    These are runs due for longer than `patience` that nobody took, and runs whose worker was lost. The
    sweep is one of the named exceptions to "every query is of one district".
    """
    waiting = sa.and_(run.c.status == RunStatus.WAITING, run.c.scheduled_start <= now - patience)
    left_lying = sa.and_(sa.not_(run.c.from_disk), sa.or_(waiting, _lost(now)))
    query = sa.select(run.c.id).where(left_lying).order_by(run.c.scheduled_start)
    return list((await connection.execute(query)).scalars())


async def next_due(connection: AsyncConnection, after: UUID, now: datetime) -> UUID | None:
    """Return the run that is due and has waited longest in the district of the run `after`."""
    district = sa.select(run.c.district_id).where(run.c.id == after).scalar_subquery()
    query = (
        sa.select(run.c.id)
        .where(
            run.c.district_id == district,
            run.c.status == RunStatus.WAITING,
            run.c.scheduled_start <= now,
            sa.not_(run.c.from_disk),
        )
        .order_by(run.c.scheduled_start, run.c.id)
        .limit(1)
    )
    return (await connection.execute(query)).scalar_one_or_none()


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


async def end_lost_from_disk(
    connection: AsyncConnection, now: datetime, district_id: str | None = None
) -> None:
    """End runs whose file was on the disk of a process that is gone; of all districts, for the sweep."""
    lost = sa.or_(
        _lost(now),
        sa.and_(run.c.status == RunStatus.WAITING, run.c.scheduled_start < now - STALE),
    )
    await connection.execute(
        sa.update(run)
        .where(run.c.from_disk, lost, *([run.c.district_id == district_id] if district_id else []))
        .values(
            status=RunStatus.FAILED,
            ended_at=now,
            failure_code=WorkerLost.code,
            failure_message="The import of a local file was broken off. Nothing was changed. Begin it again.",
        )
    )
