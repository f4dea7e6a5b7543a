"""Queries on the whole deployment, for who watches it: a few indexed ones, however many runs there were.

They are one of the named exceptions to "every query is of one district". The largest index they read grows
with a day's runs, the runs that have not ended, or the number of districts.
"""

from datetime import UTC, datetime
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import ConnectionStanding, FileState, RunKind, RunStatus
from app.models import ConnectionEvent, ConnectionState, District, ImportFile, Run, SftpConnection
from app.storage.audit_events import event as audit_event
from app.storage.audit_events import seal

Row: TypeAlias = sa.Row[Any]
run = Run.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
event = ConnectionEvent.__table__  # type: ignore[attr-defined] # same
file = ImportFile.__table__  # type: ignore[attr-defined] # same
state = ConnectionState.__table__  # type: ignore[attr-defined] # same
saved = SftpConnection.__table__  # type: ignore[attr-defined] # same
district = District.__table__  # type: ignore[attr-defined] # same

EVER = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER = sa.func.count().label("number")
NOT_PAUSED = district.c.paused_since.is_(None)
# In the very words of the partial indexes: SQLite takes one only then.
UNFINISHED = sa.text("run.status IN ('waiting', 'in_progress')")
NOT_SUCCEEDED = sa.text("NOT connection_event.succeeded")


async def due(connection: AsyncConnection, now: datetime) -> tuple[int, datetime | None]:
    """Return how many runs are due and wait for a worker, and since when the oldest of them is due."""
    query = sa.select(sa.func.count(), sa.func.min(run.c.scheduled_start)).where(
        UNFINISHED,
        run.c.status == RunStatus.WAITING,
        run.c.scheduled_start <= now,
        sa.not_(run.c.from_disk),
    )
    count, oldest = (await connection.execute(query)).one()
    return count, oldest


async def unfinished(connection: AsyncConnection) -> list[Row]:
    """Return (status, phase, number) of the runs that have not ended."""
    query = sa.select(run.c.status, run.c.phase, NUMBER).where(UNFINISHED).group_by(run.c.status, run.c.phase)
    return list(await connection.execute(query))


async def ended(connection: AsyncConnection, since: datetime) -> list[Row]:
    """Return (status, phase, failure_code, number) of the runs that have ended `since` then."""
    what = (run.c.status, run.c.phase, run.c.failure_code)
    query = sa.select(*what, NUMBER).where(run.c.ended_at >= since).group_by(*what)
    return list(await connection.execute(query))


async def failed_connections(connection: AsyncConnection, since: datetime) -> list[Row]:
    """Return (failure_code, number) of the attempts to use a state's server that failed `since` then."""
    query = (
        sa.select(event.c.failure_code, NUMBER)
        .where(NOT_SUCCEEDED, event.c.at >= since)
        .group_by(event.c.failure_code)
    )
    return list(await connection.execute(query))


async def newest_files(connection: AsyncConnection) -> list[Row]:
    """Return (id, timezone, datestamp) of each district at work with an imported file: of its newest."""
    query = (
        sa.select(district.c.id, district.c.timezone, sa.func.max(file.c.datestamp).label("datestamp"))
        .join_from(district, file, file.c.district_id == district.c.id)
        .where(file.c.state == FileState.RETAINED, NOT_PAUSED)
        .group_by(district.c.id, district.c.timezone)
    )
    return list(await connection.execute(query))


async def failing_districts(connection: AsyncConnection) -> list[Row]:
    """Return (failure_code, number) of the districts at work whose last import failed."""
    code_of_last = (
        sa.select(run.c.failure_code)
        .where(
            run.c.district_id == district.c.id,
            run.c.kind == RunKind.IMPORT,
            run.c.status.in_([RunStatus.SUCCEEDED, RunStatus.FAILED]),
        )
        .order_by(run.c.scheduled_start.desc(), run.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    last = sa.select(code_of_last.label("failure_code")).select_from(district).where(NOT_PAUSED).subquery()
    query = (
        sa.select(last.c.failure_code, NUMBER)
        .where(last.c.failure_code.is_not(None))
        .group_by(last.c.failure_code)
    )
    return list(await connection.execute(query))


async def oldest_unsealed(connection: AsyncConnection) -> datetime | None:
    """Return when the oldest audit event was that came after the last sealed one of its district.

    It asks for two rows of each district, however long the trails are; stragglers are not seen.
    """
    sealed = (
        sa.select(audit_event.c.at)
        .join(seal, seal.c.event_id == audit_event.c.id)
        .where(seal.c.district_id == district.c.id)
        .order_by(seal.c.sequence.desc())
        .limit(1)
        .correlate(district)
        .scalar_subquery()
    )
    after = audit_event.c.at > sa.func.coalesce(sealed, EVER)  # no OR: an index must find where it begins
    oldest = (
        sa.select(sa.func.min(audit_event.c.at))
        .where(audit_event.c.district_id == district.c.id, after)
        .correlate(district)
        .scalar_subquery()
    )
    first = sa.select(oldest.label("at")).select_from(district).subquery()
    try:
        found: datetime | None = (await connection.execute(sa.select(sa.func.min(first.c.at)))).scalar_one()
    except ValueError:  # SQLite stores any text as a time; whoever wrote it there, nobody can seal it
        return EVER
    return found


async def halted_connections(connection: AsyncConnection, now: datetime) -> list[Row]:
    """Return (state, number) of the connections that runs of the schedule do not use."""
    stopped = state.c.stopped_at.is_not(None)
    standing = sa.case(
        (stopped, ConnectionStanding.STOPPED.value), else_=ConnectionStanding.BACKING_OFF.value
    ).label("state")
    query = (
        sa.select(standing, NUMBER)
        .join_from(
            state,
            saved,
            sa.and_(
                saved.c.district_id == state.c.district_id, saved.c.version == state.c.connection_version
            ),
        )
        .where(sa.or_(stopped, state.c.backing_off_until > now))
        .group_by(standing)
    )
    return list(await connection.execute(query))
