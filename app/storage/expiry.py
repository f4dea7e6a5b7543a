"""What of a district has been kept for as long as the settings say; of runs themselves, nothing expires."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FileState, RunStatus, TaskStatus
from app.models import ImportFile, RecordEdit, Run, RunFinding, Task
from app.storage import import_files
from app.storage.run_reports import TRIES

run = Run.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
finding = RunFinding.__table__  # type: ignore[attr-defined] # same
edit = RecordEdit.__table__  # type: ignore[attr-defined] # same
task = Task.__table__  # type: ignore[attr-defined] # same

BATCH = 2000
"""Edits deleted in one transaction."""


async def next_run(connection: AsyncConnection, district_id: str, before: datetime) -> Run | None:
    """Return the run that ended first, of those that ended before then and still have their lists."""
    query = (
        sa.select(run)
        .where(
            run.c.district_id == district_id,
            run.c.ended_at < before,
            sa.text("run.lists_expired_at IS NULL"),  # written out, as in the index
        )
        .order_by(run.c.ended_at)
        .limit(1)
    )
    row = (await connection.execute(query)).mappings().one_or_none()
    return Run(**row) if row else None


async def expire_lists(connection: AsyncConnection, district_id: str, run_id: UUID, now: datetime) -> bool:
    """Delete a run's findings and say so in its row; False when somebody else has done it.

    All in one transaction, so that no list is ever cut without a word. No PDF is made any more.
    """
    marked = await connection.execute(
        sa.update(run)
        .where(run.c.district_id == district_id, run.c.id == run_id, run.c.lists_expired_at.is_(None))
        .values(lists_expired_at=now, report_tries=TRIES)
    )
    if marked.rowcount != 1:
        return False
    await connection.execute(
        sa.delete(finding).where(finding.c.district_id == district_id, finding.c.run_id == run_id)
    )
    return True


async def forget_edits(connection: AsyncConnection, district_id: str, before: datetime) -> int:
    """Delete some edits from before then that an import came after; returns how many, at most `BATCH`.

    Pending ones stay, however old: the next import has to list what it goes over (I5).
    """
    old = (
        sa.select(edit.c.id)
        .where(edit.c.district_id == district_id, edit.c.run_id.is_not(None), edit.c.at < before)
        .limit(BATCH)
    )
    return (await connection.execute(sa.delete(edit).where(edit.c.id.in_(old)))).rowcount


async def old_files(
    connection: AsyncConnection, district_id: str, retained_before: datetime, quarantined_before: datetime
) -> list[ImportFile]:
    """Return the files that were fetched before then, by their state.

    The newest retained one is left out while the district has an active task, or an import that has not
    ended: one may fall back on it.
    """
    retained = await import_files.retained(connection, district_id)
    if await _may_fall_back(connection, district_id):
        retained = retained[1:]
    known = await import_files.known(connection, district_id)
    aside = [file for file in known if file.state is FileState.QUARANTINED]
    return [file for file in retained if file.fetched_at < retained_before] + [
        file for file in aside if file.fetched_at < quarantined_before
    ]


async def _may_fall_back(connection: AsyncConnection, district_id: str) -> bool:
    active = sa.exists().where(task.c.district_id == district_id, task.c.status == TaskStatus.ACTIVE)
    going = run.c.status.in_([RunStatus.WAITING, RunStatus.IN_PROGRESS])
    unfinished = sa.exists().where(run.c.district_id == district_id, going)
    return bool((await connection.execute(sa.select(sa.or_(active, unfinished)))).scalar_one())
