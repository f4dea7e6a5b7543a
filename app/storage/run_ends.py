"""How people end runs; workers end theirs with `runs.finish`."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import RunPhase, RunStatus
from app.models import Run

run = Run.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


async def locked_status(connection: AsyncConnection, district_id: str, run_id: UUID) -> RunStatus | None:
    """Return the status of a run, which stays as it is until the transaction ends; None without a run."""
    query = sa.select(run.c.status).where(run.c.district_id == district_id, run.c.id == run_id)
    return (await connection.execute(query.with_for_update())).scalar_one_or_none()


async def cancel(connection: AsyncConnection, district_id: str, run_id: UUID, now: datetime) -> Run | None:
    """End a run that waits, or that has not begun to replace records; None when there is none such.

    Its worker, if it has one, notices by its next heartbeat or at `mark_replace`, whichever comes first.
    The phase decides, which never goes back: a replace that came to nothing is about to be tried again.
    """
    early = sa.and_(run.c.status == RunStatus.IN_PROGRESS, run.c.phase.is_distinct_from(RunPhase.REPLACE))
    statement = (
        sa.update(run)
        .where(
            run.c.district_id == district_id,
            run.c.id == run_id,
            sa.or_(run.c.status == RunStatus.WAITING, early),
        )
        .values(status=RunStatus.CANCELLED, ended_at=now)
        .returning(*run.c)
    )
    row = (await connection.execute(statement)).mappings().one_or_none()
    return Run(**row) if row else None
