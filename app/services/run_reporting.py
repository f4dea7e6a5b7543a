"""Makes what follows the end of a run: its PDF, and order in the download folder."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from app.constants import FINAL_STATUSES, RunPhase
from app.database import Database
from app.failures import RunFailure
from app.models import District, Run
from app.models.base import utc_now
from app.pipeline.pdf import PdfFailed, render_pdf
from app.pipeline.report import report_data
from app.reach import everywhere, within_district
from app.settings import Settings
from app.storage import import_files, run_reports
from app.storage.download_folder import DownloadFolder
from app.storage.file_store import FileStore
from app.storage.scratch import scratch_directory
from app.telemetry import RunTelemetry, about

SLACK = timedelta(seconds=5)
"""What reading the lists of a report takes, beside its rendering."""
STRAY_AGE = timedelta(hours=1)
"""Files of the download folder that no row knows are removed when they are older."""

log = structlog.get_logger()


class RunReporting:
    """Makes reports; one object serves a whole process. A failed one never undoes an import."""

    def __init__(
        self, database: Database, settings: Settings, files: FileStore, telemetry: RunTelemetry
    ) -> None:
        self._database = database
        self._settings = settings
        self._files = files
        self._downloads = DownloadFolder(files)
        self._telemetry = telemetry

    async def report_next(self, waited: timedelta, *, redacted: bool = True) -> UUID | None:
        """Make the report of the run that ended first, of those that ended `waited` ago or longer.

        Those that are made again since a person was erased come last, or are left out without `redacted`.
        None when there is none to make, or the one there is had to be put off.
        """
        with everywhere():
            async with self._database.read() as session:
                run_id = await run_reports.next_report(
                    await session.connection(),
                    utc_now(),
                    waited,
                    report_lease(self._settings),
                    redacted=redacted,
                )
        return run_id if run_id is not None and await self.report(run_id) else None

    async def report(self, run_id: UUID) -> bool:
        """Make the report of a run; return whether another one may be tried at once.

        Does nothing for a run that has not ended, or whose PDF is there or somebody else's to make. False
        when files cannot be stored at the moment.
        """
        with everywhere():
            async with self._database.read() as session:
                run = await session.get(Run, run_id)
        if run is None or run.status not in FINAL_STATUSES:
            return True
        with within_district(run.district_id):
            return await self._report(run)

    async def _report(self, run: Run) -> bool:
        async with self._database.write() as session:
            connection = await session.connection()
            if not await run_reports.try_report(connection, run.id, utc_now(), report_lease(self._settings)):
                return True
        with about(run), self._telemetry.phase(RunPhase.REPORT):
            if not await self._make(run):
                return False
            await self._tidy(run.district_id)
        return True

    async def _make(self, run: Run) -> bool:
        async with self._database.read() as session:
            district = await session.get(District, run.district_id)
            assert district is not None, "a run's district exists: a foreign key says so"
            connection = await session.connection()
            report = await report_data(connection, run, district, limit=self._settings.pdf_rows)
        key = run_reports.pdf_key(run)
        try:
            await self._make_pdf(report, key)
        except asyncio.CancelledError:
            await self._forget_try(run.id, at_once=True)
            raise
        except PdfFailed as error:
            # The import stands, and JSON and CSV have the same facts. What is wrong may pass until the lease
            # of this try is over: a disk or a memory that is full for a minute.
            log.error("pdf_failed", reason=str(error))  # noqa: TRY400 - the reason says it all
            return True
        except RunFailure as failure:  # of the store, which is tried again as long as it is away
            log.warning("report_put_off", code=failure.code)
            await self._forget_try(run.id, at_once=False)
            return False
        async with self._database.write() as session:
            noted = await run_reports.note_pdf(await session.connection(), run, Path(key).name)
        if not noted:  # a person was erased meanwhile, and may stand in it; a new one follows
            await self._files.remove(key)
        return True

    async def _make_pdf(self, report: dict[str, Any], key: str) -> None:
        settings = self._settings
        with scratch_directory(settings) as scratch:
            pdf = scratch / Path(key).name
            await render_pdf(report, pdf, timeout=settings.pdf_timeout, max_rows=settings.pdf_rows)
            await self._files.put(pdf, key)

    async def _forget_try(self, run_id: UUID, *, at_once: bool) -> None:
        async with self._database.write() as session:
            await run_reports.forget_try(await session.connection(), run_id, at_once=at_once)

    async def _tidy(self, district_id: str) -> None:
        """Keep the newest retained files and refused ones for their week; remove the rest (I2)."""
        settings = self._settings
        async with self._database.write() as session:
            connection = await session.connection()
            surplus = await import_files.surplus(
                connection,
                district_id,
                settings.retained_files,
                utc_now() - timedelta(days=settings.quarantine_days),
            )
            await import_files.remove(connection, district_id, [file.id for file in surplus])
            known = await import_files.known(connection, district_id)
        try:
            for file in surplus:
                await self._downloads.remove(district_id, file.stored_as, file.state)
            await self._downloads.remove_strays(district_id, known, STRAY_AGE)
        except RunFailure as failure:  # what is left is a stray, which the next import's report looks for
            log.warning("not_tidied", code=failure.code)


def report_lease(settings: Settings) -> timedelta:
    """Return how long one try at a PDF may take, before somebody else may try."""
    return timedelta(seconds=settings.pdf_timeout) + SLACK
