"""The order of an import: fetch, parse, match, replace (the report follows the commit).

Nothing is deleted before the file is fetched, parsed, matched and checked, and the replace is one
transaction that also ends the run. So wherever this stops, the district's data is the old or the new.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FileState, FindingKind, RunPhase, RunStatus
from app.database import limit_replace, take_guard
from app.failures import DatabaseFailed
from app.models import District, Run
from app.models.base import utc_now
from app.pipeline.difference import find_differences
from app.pipeline.fetch import FetchedFile, Fetcher
from app.pipeline.findings import write_lists
from app.pipeline.guard import check_rejected, check_shrink
from app.pipeline.heartbeat import OwnershipLostError, Progress
from app.pipeline.known_people import known_people
from app.pipeline.layout import Layout
from app.pipeline.match import match
from app.pipeline.parse import LicenceFile
from app.pipeline.replace import write_difference
from app.pipeline.stage import stage
from app.pipeline.summary import shrinkage, summarise
from app.storage import import_files, runs, staging, statistics
from app.storage.run_findings import FindingWriter
from app.storage.versions import data_versions

PASSES = 5
"""How often a run matches anew because employees or records changed under it."""

log = structlog.get_logger()


class DataMovedError(Exception):
    """Employees or records changed after they were matched: what was computed is out of date."""


@dataclass
class ImportRun:
    """One execution of one run, by `owner`; `local_path` is the file of an import without SFTP."""

    fetcher: Fetcher
    run: Run
    owner: UUID
    district: District
    layout: Layout
    progress: Progress
    local_path: Path | None = None
    warnings: list[str] = field(default_factory=list)
    file: FetchedFile | None = None
    writer: FindingWriter = field(init=False)

    def __post_init__(self) -> None:
        """Prepare to write what this attempt finds."""
        run = self.run
        self.writer = FindingWriter(self.fetcher.database, run.district_id, run.id, run.attempt)

    async def execute(self) -> None:
        """Do the whole import up to its commit; raises RunFailure for what ends the run as failed."""
        await self._begin()
        self.file = await self._fetch()
        await self._note_file(self.file)
        engine = self.fetcher.database.engine
        async with engine.connect() as connection:
            try:
                for _ in range(PASSES):
                    try:
                        await self._import(connection, self.file)
                    except DataMovedError:
                        log.info("matched_again", run_id=str(self.run.id))
                        await self._begin()
                    else:
                        return
            finally:
                await connection.rollback()
                await staging.drop(connection)
                await connection.commit()
        raise DatabaseFailed(
            "Employees or certifications of the district kept changing while they were matched. Nothing was "
            "changed. Run the import again when the other change is done."
        )

    async def _begin(self) -> None:
        """Forget what was found before; raises OwnershipLostError, or a successor's list would be lost."""
        async with self.fetcher.database.write() as session:
            connection = await session.connection()
            if not await runs.update_owned(connection, self.run.id, self.owner, heartbeat_at=utc_now()):
                raise OwnershipLostError
            await self.writer.forget(connection)

    async def _fetch(self) -> FetchedFile:
        self.progress.enter(RunPhase.FETCH)
        district_id = self.district.id
        if self.local_path is not None:
            return await self.fetcher.from_disk(district_id, self.local_path, self.layout)
        return await self.fetcher.from_state(district_id, self.run.id, self.layout, self.progress.at)

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
        if file.reused:
            self.warnings.append(
                f"The state's server had no licence file, so the retained {file.name} was imported again."
            )
        elif imported and file.datestamp and file.datestamp < imported:
            self.warnings.append(
                f"{file.name} is older than a file that was imported before ({imported[:10]})."
            )
        log.info("file_fetched", run_id=str(self.run.id), bytes=file.size, reused=file.reused)

    async def _import(self, connection: AsyncConnection, file: FetchedFile) -> None:
        """Parse, match, check and replace; raises DataMovedError when it has to be done again."""
        run, district_id = self.run, self.district.id
        settings = self.fetcher.settings
        self.progress.enter(RunPhase.PARSE)
        await statistics.know_tables(connection)
        await connection.commit()
        versions = await data_versions(connection, district_id)
        known = await known_people(connection, district_id)
        # Its head is found by one look at all of it, which takes seconds for gigabytes.
        with await asyncio.to_thread(LicenceFile, file.path, self.layout) as licence_file:
            counts = await stage(
                connection, licence_file, known, self.writer, lambda done: self.progress.at(done, file.size)
            )
        check_rejected(counts, settings.max_rejected_percent)

        self.progress.enter(RunPhase.MATCH)
        await match(connection, district_id, self.layout.statuses)
        differences = await find_differences(connection, district_id)
        for warning in self.warnings:
            await self.writer.add(FindingKind.WARNING, {"text": warning})
        totals = await write_lists(connection, self.writer, district_id, self._today())
        holders, lost = await shrinkage(connection, district_id)
        check_shrink(holders, lost, settings.max_shrink_percent, accepted=run.accept_shrink)
        summary = await summarise(connection, district_id, counts, differences, totals)
        await connection.commit()

        self.progress.enter(RunPhase.REPLACE)
        await self._replace(connection, file, versions, summary)
        if any(difference.changes_much() for difference in differences):
            await statistics.learn_records(connection)
            await connection.commit()

    async def _replace(
        self,
        connection: AsyncConnection,
        file: FetchedFile,
        versions: tuple[int, int],
        summary: dict[str, Any],
    ) -> None:
        """Write everything that the run changes in one transaction, its final status included (I5)."""
        district_id, run, now = self.district.id, self.run, utc_now()
        await connection.execution_options(sqlite_begin="IMMEDIATE")
        try:
            async with connection.begin():
                await limit_replace(connection)
                await take_guard(connection, district_id, shared=False)
                if await data_versions(connection, district_id) != versions:
                    raise DataMovedError
                await write_difference(connection, district_id, run.id, run.run_by, now)
                superseded = await keep_file(connection, file, FileState.RETAINED, run, now)
                mine = await runs.finish(
                    connection,
                    run.id,
                    self.owner,
                    RunStatus.SUCCEEDED,
                    now,
                    phase=RunPhase.REPORT,
                    progress=100,
                    summary=summary,
                )
                if not mine:
                    raise OwnershipLostError
                self.progress.ending = True
        finally:
            await connection.execution_options(sqlite_begin="DEFERRED")
        if superseded:
            self.fetcher.downloads.remove(district_id, superseded)

    def _today(self) -> date:
        return datetime.now(ZoneInfo(self.district.timezone)).date()


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
