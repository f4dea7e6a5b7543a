"""The order of an import: fetch, parse, match, replace (the report follows the commit).

Nothing is deleted before the file is fetched, parsed, matched and checked, and the replace is one
transaction that also ends the run. So wherever this stops, the district's data is the old or the new.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FileState, FindingKind, RunKind, RunPhase, RunStatus
from app.database import is_lock_timeout, take_guard, try_guard
from app.failures import DatabaseFailed
from app.import_lock import HeldLock, ImportLock, lock_lost
from app.models import District, Run
from app.models.base import utc_now
from app.pipeline.fetch import FetchedFile, Fetcher
from app.pipeline.heartbeat import OwnershipLostError, Progress
from app.pipeline.layout import Layout
from app.pipeline.plan import Moved, Plan
from app.pipeline.replace import settle_edits, write_difference
from app.storage import import_files, runs, staging, statistics
from app.storage.run_findings import FindingWriter

PASSES = 3
"""From this pass on a run is planned under the guard, as far as data moved, so that it comes to its end."""
GUARD_TRIES = 6
"""How often a replace waits for the guard, `GUARD_WAIT` each, while others write employees."""

log = structlog.get_logger()


@dataclass
class ImportRun:
    """One execution of one run, by `owner`; `local_path` is the file of an import without SFTP."""

    fetcher: Fetcher
    lock: ImportLock
    run: Run
    owner: UUID
    district: District
    layout: Layout
    progress: Progress
    local_path: Path | None = None
    file: FetchedFile | None = None
    writer: FindingWriter = field(init=False)

    def __post_init__(self) -> None:
        """Prepare to write what this attempt finds."""
        run = self.run
        self.writer = FindingWriter(self.fetcher.database, run.district_id, run.id, run.attempt)

    async def execute(self) -> None:
        """Do the whole import up to its commit; raises RunFailure for what ends the run as failed."""
        await self.writer.forget()
        self.file = await self._fetch()
        await self._note_file(self.file)
        async with self.fetcher.database.engine.connect() as connection:
            try:
                await self._import(self._plan(connection), self.file)
            finally:
                await connection.rollback()
                await staging.drop(connection)
                await connection.commit()

    async def _fetch(self) -> FetchedFile:
        self.progress.enter(RunPhase.FETCH)
        district_id = self.district.id
        if self.local_path is not None:
            return await self.fetcher.from_disk(district_id, self.local_path, self.layout)
        return await self.fetcher.from_state(
            district_id,
            self.run.id,
            self.layout,
            lambda done, total: self.progress.at(RunPhase.FETCH, done, total),
        )

    async def _note_file(self, file: FetchedFile) -> None:
        """Show the file in the run at once, and warn of one that is not news."""
        async with self.fetcher.database.write() as session:
            connection = await session.connection()
            imported = await runs.newest_imported_datestamp(connection, self.district.id)
            mine = await runs.update_owned(
                connection,
                self.run.id,
                self.owner,
                file_name=file.name,
                file_datestamp=file.datestamp,
                file_sha256=file.sha256,
                file_size=file.size,
                file_reused=file.reused,
            )
        if not mine:
            raise OwnershipLostError
        if warning := warning_of(file, imported):
            await self.writer.add(FindingKind.WARNING, {"text": warning})
            await self.writer.flush()
        log.info("file_fetched", run_id=str(self.run.id), bytes=file.size, reused=file.reused)

    def _plan(self, connection: AsyncConnection) -> Plan:
        return Plan(
            connection,
            self.district,
            self.layout,
            self.fetcher.settings,
            self.writer,
            self.run.accept_shrink,
            lambda done, total: self.progress.at(RunPhase.PARSE, done, total),
        )

    async def _import(self, plan: Plan, file: FetchedFile) -> None:
        """Plan, then replace; once more as far as needed when employees or records changed in between."""
        preview = self.run.kind is RunKind.PREVIEW
        moved: Moved | None = Moved.ROSTER
        for number in count(1):
            under_guard = moved if number >= PASSES and not preview else None
            if moved is Moved.ROSTER:
                self.progress.enter(RunPhase.PARSE)
                await plan.read(file, everybody=under_guard is not None)
            if under_guard is None:
                self.progress.enter(RunPhase.MATCH)
                if moved is Moved.ROSTER:
                    await plan.match()
                await plan.compare()
            await plan.connection.commit()
            moved = await (plan.moved() if preview else self._replace(plan, file, under_guard))
            if moved is None or (preview and number == PASSES):
                break
            log.info("planned_again", run_id=str(self.run.id), moved=moved.value)
        if preview:
            await self._end_preview(plan, file)
        elif any(difference.changes_much() for difference in plan.differences):
            await statistics.learn_records(plan.connection)
        await plan.connection.commit()

    async def _end_preview(self, plan: Plan, file: FetchedFile) -> None:
        """End a preview with what an import would do (I14); what was fetched for it is not kept."""
        async with self.fetcher.database.write() as session:
            connection = await session.connection()
            self.progress.ending = True
            if not await self._finish(connection, plan, utc_now()):
                raise OwnershipLostError
        if not file.reused:
            self.fetcher.downloads.remove(self.district.id, file.path.name)

    async def _replace(self, plan: Plan, file: FetchedFile, under_guard: Moved | None) -> Moved | None:
        """Replace the records while writers are kept out (I6); returns what moved if that came to nothing.

        In this order: the mark on the run's row, the lock at Redis, the transaction with the guard.
        """
        self.progress.enter(RunPhase.REPLACE)
        if not await self._mark(utc_now()):
            raise OwnershipLostError
        async with self.lock.held(self.district.id, self.run.id, self.owner, self._guarded) as lock:
            await plan.connection.execution_options(sqlite_begin="IMMEDIATE")
            try:
                moved, superseded = await self._write(plan, file, lock, under_guard)
            finally:
                await plan.connection.execution_options(sqlite_begin="DEFERRED")
        if moved is not None:
            await self._mark(None)
        if superseded:
            self.fetcher.downloads.remove(self.district.id, superseded)
        return moved

    async def _guarded(self) -> bool:
        """Tell whether our transaction still holds the guard or waits for it.

        PostgreSQL ends one whose worker it has lost (`GUARD_LIMITS`); cut off from it, the question hangs
        as well, and it too renews nothing.
        """
        database = self.fetcher.database
        if database.is_sqlite:
            return True
        try:
            async with database.read() as session:
                return not await try_guard(await session.connection(), self.district.id)
        except SQLAlchemyError as error:
            log.warning("guard_unknown", run_id=str(self.run.id), error=type(error).__name__)
            return False

    async def _mark(self, since: datetime | None) -> bool:
        """Show in the run's row that it replaces records, or not after all; False when it is not ours."""
        async with self.fetcher.database.write() as session:
            connection = await session.connection()
            return await runs.mark_replace(connection, self.run.id, self.owner, since)

    async def _write(
        self, plan: Plan, file: FetchedFile, lock: HeldLock, under_guard: Moved | None
    ) -> tuple[Moved | None, str | None]:
        """Write everything that the run changes in one transaction, its final status included (I5).

        `under_guard` is what may have moved and is planned again here, where it cannot any more. Returns
        what moved instead, then nothing was written; and the name of a file that is no longer needed.
        """
        connection, run = plan.connection, self.run
        async with holding_guard(connection, self.district.id):
            now = utc_now()
            moved = await plan.moved()
            if under_guard is Moved.ROSTER or under_guard is moved is Moved.EDITS:
                with self.writer.within(connection):
                    if under_guard is Moved.ROSTER:
                        await plan.match()
                    await plan.compare()
            elif moved:
                await connection.rollback()
                return moved, None
            await write_difference(connection, run, *plan.differences, now)
            await settle_edits(connection, run.district_id, run.id)
            superseded = await keep_file(connection, file, FileState.RETAINED, run, now)
            if not await self._finish(connection, plan, utc_now()):
                raise OwnershipLostError
            if await lock.is_anothers():
                raise lock_lost()
            self.progress.ending = True
        return None, superseded

    async def _finish(self, connection: AsyncConnection, plan: Plan, now: datetime) -> bool:
        return await runs.finish(
            connection,
            self.run.id,
            self.owner,
            RunStatus.SUCCEEDED,
            now,
            phase=RunPhase.REPORT,
            progress=100,
            summary=plan.summary,
        )


@asynccontextmanager
async def holding_guard(connection: AsyncConnection, district_id: str) -> AsyncIterator[None]:
    """Commit what the body does while the district's guard keeps everybody else out.

    Raises DatabaseFailed when others keep it for too long.
    """
    for _ in range(GUARD_TRIES):
        try:
            await connection.begin()
            await take_guard(connection, district_id, shared=False)
        except OperationalError as error:
            await connection.rollback()
            if not is_lock_timeout(error):
                raise
            log.info("guard_waited_for", district=district_id)
            continue
        try:
            yield
        except BaseException:
            await connection.rollback()
            raise
        await connection.commit()
        return
    raise DatabaseFailed(
        "Somebody else wrote employees of the district for minutes. Nothing was changed. Run it again later."
    )


def warning_of(file: FetchedFile, newest_imported: str | None) -> str | None:
    """Return what is to be said of a file that is not news; datestamps are ISO texts."""
    if file.reused:
        return f"The state's server had no licence file, so the retained {file.name} was used again."
    if newest_imported and file.datestamp and file.datestamp < newest_imported:
        return f"{file.name} is older than a file that was imported before ({newest_imported[:10]})."
    return None


async def keep_file(
    connection: AsyncConnection, file: FetchedFile, state: FileState, run: Run, now: datetime
) -> str | None:
    """Record a fetched file as retained or quarantined; returns the name of a copy it makes superfluous.

    A file without a datestamp cannot be put in order, and a reused one is recorded already.
    """
    if file.reused or file.datestamp is None:
        return None
    return await import_files.keep(
        connection,
        {
            "id": uuid4(),
            "district_id": run.district_id,
            "name": file.name,
            "datestamp": file.datestamp,
            "sha256": file.sha256,
            "size": file.size,
            "stored_as": file.path.name,
            "state": state,
            "run_id": run.id,
            "fetched_at": now,
        },
    )
