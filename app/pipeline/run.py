"""The order of an import: fetch, parse, match, replace (the report follows the commit).

Nothing is deleted before the file is fetched, parsed, matched and checked, and the replace is one
transaction that also ends the run. So wherever this stops, the district's data is the old or the new.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FileState, FindingKind, RunKind, RunPhase, RunStatus
from app.database import holding_guard, try_guard
from app.import_lock import HeldLock, ImportLock, lock_lost
from app.models import District, Run
from app.models.base import utc_now
from app.pipeline.fetch import FetchedFile, Fetcher
from app.pipeline.heartbeat import OwnershipLostError, Progress
from app.pipeline.kept_file import KeptFile, kept_file, superseded_copy, warning_of
from app.pipeline.layout import Layout
from app.pipeline.plan import Moved, Plan
from app.pipeline.replace import execute_all, replacement, settlement
from app.storage import import_files, runs, staging, statistics
from app.storage.run_findings import FindingWriter
from app.storage.versions import next_version

PASSES = 3
"""From this pass on a run is planned under the guard, as far as data moved, so that it comes to its end."""

log = structlog.get_logger()


@dataclass
class ImportRun:
    """One execution of one run, by `owner`; `local_path` is the file of an import without SFTP.

    `stored` tells that `file` is in the store as a retained one, `aside` as a refused one; whether it stays
    there, the transaction that ends the run decides.
    """

    fetcher: Fetcher
    lock: ImportLock
    run: Run
    owner: UUID
    district: District
    layout: Layout
    progress: Progress
    scratch: Path
    local_path: Path | None = None
    file: FetchedFile | None = None
    stored: bool = False
    aside: bool = False
    summary: dict[str, Any] | None = None
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
                await staging.prepare(connection)
                await connection.commit()
                await self._import(self._plan(connection), self.file)
            finally:
                await self.writer.stop()
                await connection.rollback()
                await staging.drop(connection)
                await connection.commit()

    async def _fetch(self) -> FetchedFile:
        with self.progress.within(RunPhase.FETCH):
            if self.local_path is not None:
                return await self.fetcher.from_disk(self.local_path, self.layout, self.scratch)
            return await self.fetcher.from_state(
                self.run,
                self.layout,
                self.scratch,
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
                with self.progress.within(RunPhase.PARSE):
                    await plan.read(file, everybody=under_guard is not None)
            if under_guard is None:
                with self.progress.within(RunPhase.MATCH):
                    if moved is Moved.ROSTER:
                        await plan.match()
                    await plan.compare()
            await plan.connection.commit()
            if not preview and file.to_keep and not self.stored:
                await self.fetcher.downloads.put(self.district.id, file.path, FileState.RETAINED)
                self.stored = True
            if preview:
                moved = await plan.moved()
            else:
                with self.progress.within(RunPhase.REPLACE):
                    moved = await self._replace(plan, file, under_guard)
            if moved is None or (preview and number == PASSES):
                break
            log.info("planned_again", run_id=str(self.run.id), moved=moved.value)
        if preview:
            await self._end_preview(plan)
        elif any(difference.changes_much() for difference in plan.differences):
            await statistics.learn_records(plan.connection)
        await plan.connection.commit()
        self.summary = plan.summary

    async def _end_preview(self, plan: Plan) -> None:
        """End a preview with what an import would do (I14)."""
        async with self.fetcher.database.write() as session:
            connection = await session.connection()
            self.progress.ending = True
            if not await self._finish(connection, plan, utc_now()):
                raise OwnershipLostError

    async def _replace(self, plan: Plan, file: FetchedFile, under_guard: Moved | None) -> Moved | None:
        """Replace the records while writers are kept out (I6).

        In this order: the mark on the run's row, the lock at Redis, the transaction with the guard.
        `under_guard` is what may have moved and is planned again under it, where it cannot any more. Returns
        what moved instead, then nothing was written.
        """
        kept = kept_file(file, FileState.RETAINED, self.run, utc_now())
        version, superseded = await self._mark(kept)
        statements = self._statements(plan, kept, version)
        async with self._alone(plan.connection) as lock:
            moved = await plan.moved()
            if under_guard is Moved.ROSTER or under_guard is moved is Moved.EDITS:
                moved = None
                with self.writer.within(plan.connection):
                    if under_guard is Moved.ROSTER:
                        await plan.match()
                    await plan.compare()
                statements = self._statements(plan, kept, version)
            if moved is None:
                await self._write(plan, statements, lock)
        if moved is not None:
            await self._unmark()
        elif superseded:
            await self.fetcher.downloads.remove(self.district.id, superseded, FileState.RETAINED)
        return moved

    @asynccontextmanager
    async def _alone(self, connection: AsyncConnection) -> AsyncIterator[HeldLock]:
        """Commit what the body does while everybody else is kept out, by the lock and by the guard."""
        async with self.lock.held(self.district.id, self.run.id, self.owner, self._guarded) as lock:
            await connection.execution_options(sqlite_begin="IMMEDIATE")
            try:
                async with holding_guard(connection, self.district.id):
                    yield lock
            finally:
                await connection.execution_options(sqlite_begin="DEFERRED")

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

    async def _mark(self, kept: KeptFile | None) -> tuple[int, str | None]:
        """Show in the run's row that it replaces records, and get ready what needs no guard.

        Returns the version of everything the replace writes, and the name of the copy that `kept` makes
        superfluous. Raises OwnershipLostError.
        """
        async with self.fetcher.database.write() as session:
            connection = await session.connection()
            if not await runs.mark_replace(connection, self.run.id, self.owner, utc_now()):
                raise OwnershipLostError
            return await next_version(connection), await superseded_copy(connection, kept)

    async def _unmark(self) -> None:
        async with self.fetcher.database.write() as session:
            await runs.mark_replace(await session.connection(), self.run.id, self.owner, None)

    def _statements(self, plan: Plan, kept: KeptFile | None, version: int) -> list[sa.Executable]:
        statements = [*replacement(self.run, *plan.differences, version, utc_now())]
        if plan.edits_pending:
            statements.append(settlement(self.district.id, self.run.id))
        if kept:
            statements.append(import_files.keeping(plan.connection, kept))
        return statements

    async def _write(self, plan: Plan, statements: list[sa.Executable], lock: HeldLock) -> None:
        """Write everything that the run changes, its final status included (I5)."""
        await execute_all(plan.connection, statements)
        mine, anothers = await asyncio.gather(
            self._finish(plan.connection, plan, utc_now()), lock.is_anothers()
        )
        if not mine:
            raise OwnershipLostError
        if anothers:
            raise lock_lost()
        self.progress.ending = True

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
