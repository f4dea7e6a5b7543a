"""Which runs are due, and who executes which; every claim is a compare-and-swap.

Workers serve all districts: what looks for work here is one of the named exceptions to "every query is of
one district".
"""

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import RunPhase, RunStatus
from app.failures import WorkerLost
from app.models import District, Run
from app.storage.runs import end_audited

run = Run.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
district = District.__table__  # type: ignore[attr-defined] # as above

# Written out, not as parameters: SQLite looks at a partial index only for the very condition it was made for.
WAITING, IN_PROGRESS = (
    sa.literal(status, run.c.status.type, literal_execute=True)
    for status in (RunStatus.WAITING, RunStatus.IN_PROGRESS)
)
STALE = timedelta(seconds=20)
"""A run in progress whose heartbeat is older has lost its worker."""
BROKEN_OFF = "The import of a local file was broken off. Nothing was changed. Begin it again."
LATE = timedelta(minutes=1)
"""A scheduled run that begins later than this after its due time is marked late (I7)."""


def _lost(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(run.c.status == IN_PROGRESS, run.c.heartbeat_at < now - STALE)


def _due(now: datetime) -> sa.ColumnElement[bool]:
    """What waits and may begin: in a paused district only what a person started, or what had begun."""
    paused = sa.exists().where(district.c.id == run.c.district_id, district.c.paused_since.is_not(None))
    return sa.and_(
        run.c.status == WAITING,
        run.c.scheduled_start <= now,
        sa.or_(run.c.slot.is_(None), run.c.actual_start.is_not(None), sa.not_(paused)),
    )


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
            sa.or_(_due(now), _lost(now)),
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


async def claim_next(connection: AsyncConnection, owner: UUID, now: datetime) -> Run | None:
    """Make `owner` the one who executes the run that has been due longest, of whichever district.

    One whose worker was lost comes first. None when there is none to take. A district has one run in
    progress, and who waits longest is next: so none keeps the others from their turn. Raises
    IntegrityError when somebody else began another run of the same district in this moment.
    """
    other = run.alias()
    busy = sa.exists().where(other.c.district_id == run.c.district_id, other.c.status == IN_PROGRESS)
    for takeable in (_lost(now), sa.and_(_due(now), sa.not_(busy))):  # two queries, an index for each
        query = (
            sa.select(run.c.id)
            .where(sa.not_(run.c.from_disk), takeable)
            .order_by(run.c.scheduled_start, run.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        run_id = (await connection.execute(query)).scalar_one_or_none()
        if run_id is not None:
            return await claim(connection, run_id, owner, now, from_disk=False)
    return None


async def abandoned(connection: AsyncConnection, now: datetime, patience: timedelta) -> list[UUID]:
    """Return runs of all districts that need a nudge.

    These are runs due for longer than `patience` that nobody took, and runs whose worker was lost.
    """
    found: list[UUID] = []
    for left_lying in (_lost(now), _due(now - patience)):  # two queries, an index for each
        query = sa.select(run.c.id).where(sa.not_(run.c.from_disk), left_lying)
        found += (await connection.execute(query.order_by(run.c.scheduled_start))).scalars()
    return found


async def end_lost_from_disk(
    connection: AsyncConnection, now: datetime, district_id: str | None = None
) -> None:
    """End runs whose file was on the disk of a process that is gone; of all districts, for the sweep."""
    never_begun = sa.and_(run.c.status == WAITING, run.c.scheduled_start < now - STALE)
    for lost in (_lost(now), never_begun):  # two statements, an index for each
        statement = (
            sa.update(run)
            .where(run.c.from_disk, lost, *([run.c.district_id == district_id] if district_id else []))
            .values(
                status=RunStatus.FAILED,
                ended_at=now,
                failure_code=WorkerLost.code,
                failure_message=BROKEN_OFF,
            )
        )
        await end_audited(connection, statement)
