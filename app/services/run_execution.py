"""Executes a run: claims it, imports, ends it, and makes its report. Used by the worker and the CLI."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from app.constants import FINAL_STATUSES, FileState, RunKind, RunStatus
from app.crypto import Cipher
from app.database import Database
from app.errors import ServiceUnavailableError
from app.failures import RunFailure, WorkerLost
from app.import_lock import ImportLock
from app.logs import trace
from app.models import District, Run
from app.models.base import utc_now
from app.pipeline.fetch import Fetcher
from app.pipeline.heartbeat import OwnershipLostError, Progress, heartbeat
from app.pipeline.kept_file import kept_file, superseded_copy
from app.pipeline.layout import Layout, layout_for_state, parse_layout
from app.pipeline.pdf import PdfFailed, render_pdf
from app.pipeline.report import report_data
from app.pipeline.run import ImportRun
from app.services.run_failures import as_failure, error_log, reassuring
from app.settings import Settings
from app.storage import due_runs, import_files, run_reports, runs
from app.storage.download_folder import DownloadFolder
from app.storage.file_store import FileStore
from app.storage.scratch import scratch_directory

MAX_ATTEMPTS = 5
"""A run that took so many workers down is ended instead of taking another."""
REPORT_SLACK = timedelta(seconds=5)
"""What reading the lists of a report takes, beside its rendering."""
STRAY_AGE = timedelta(hours=1)
"""Files of the download folder that no row knows are removed when they are older."""

log = structlog.get_logger()


class RunExecution:
    """Executes runs; one object serves a whole process.

    A job may start twice, die anywhere, or meet a run that is done: the claim decides, and until the
    commit nothing of the district has changed.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        cipher: Cipher,
        files: FileStore,
        lock: ImportLock,
    ) -> None:
        self._database = database
        self._settings = settings
        self._files = files
        self._downloads = DownloadFolder(files)
        self._cipher = cipher
        self._lock = lock
        self._fetcher = Fetcher(database, settings, cipher, self._downloads)

    async def execute(self, run_id: UUID, local_path: Path | None = None) -> None:
        """Execute the run if it is there to be taken; failures end it and are not raised.

        Cancellation puts the run back to waiting, so that the next worker takes it at once.
        """
        with structlog.contextvars.bound_contextvars(run_id=str(run_id)):
            run = await self._claim(run_id, from_disk=local_path is not None)
            if run is not None:
                await self._import(run, local_path)
            await self.report(run_id)

    async def execute_next(self) -> UUID | None:
        """Execute the run that has been due longest, but for its report; None when there is none to take.

        Of whichever district: one whose run is in progress is passed over. Otherwise as `execute`.
        """
        run = None
        while run is None:
            try:
                async with self._database.write() as session:
                    run = await due_runs.claim_next(await session.connection(), uuid4(), utc_now())
                    if run is None:
                        return None
            except IntegrityError:  # of two runs of one district, another worker took the other just now
                continue
        with structlog.contextvars.bound_contextvars(run_id=str(run.id)):
            await self._import(run, None)
        return run.id

    async def _claim(self, run_id: UUID, *, from_disk: bool) -> Run | None:
        try:
            async with self._database.write() as session:
                connection = await session.connection()
                return await due_runs.claim(connection, run_id, uuid4(), utc_now(), from_disk=from_disk)
        except IntegrityError:
            log.info("run_deferred", reason="another run of the district is in progress")
            return None

    async def _import(self, run: Run, local_path: Path | None) -> None:
        assert run.owner is not None
        log.info("run_started", district=run.district_id, attempt=run.attempt)
        progress = Progress()
        importing: ImportRun | None = None
        try:
            check_attempts(run)
            async with (
                heartbeat(self._database, run.id, run.owner, progress),
                asyncio.timeout(self._settings.run_timeout),
            ):
                district = await self._district(run.district_id)
                with scratch_directory(self._settings) as scratch:
                    importing = ImportRun(
                        self._fetcher,
                        self._lock,
                        run,
                        run.owner,
                        district,
                        layout_of(district),
                        progress,
                        scratch,
                        local_path,
                    )
                    await self._execute(importing)
            log.info("run_succeeded", kind=run.kind.value)
        except OwnershipLostError:
            log.warning("run_lost", reason="it was ended or taken over by another worker")
        except asyncio.CancelledError:
            try:
                await asyncio.shield(self._put_back(run))
            except (SQLAlchemyError, ServiceUnavailableError) as error:
                log.error("run_not_put_back", **trace(error))  # noqa: TRY400 - its message may quote a row
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has to end
            await self._fail(run, as_failure(error, self._settings), importing)

    async def _execute(self, importing: ImportRun) -> None:
        """Do the import; put a refused file aside as long as it is at hand and the run is ours."""
        try:
            await importing.execute()
        except RunFailure as failure:
            run, file = importing.run, importing.file
            if failure.refuses_file and run.kind is RunKind.IMPORT and file is not None and file.to_keep:
                try:
                    await self._downloads.put(run.district_id, file.path, FileState.QUARANTINED)
                    importing.aside = True
                except RunFailure as unstored:  # why the file was refused tells more than this
                    log.warning("refused_file_not_kept", code=unstored.code)
            raise

    async def _district(self, district_id: str) -> District:
        async with self._database.read() as session:
            district = await session.get(District, district_id)
        assert district is not None, "a run's district exists: a foreign key says so"
        return district

    async def _put_back(self, run: Run) -> None:
        """Leave the run to the next worker; one from a disk ends with the process that has the file."""
        assert run.owner is not None
        async with self._database.write() as session:
            connection = await session.connection()
            if run.from_disk:
                await runs.finish(connection, run.id, run.owner, RunStatus.CANCELLED, utc_now())
            else:
                await runs.put_back(connection, run.id, run.owner)
        log.info("run_cancelled" if run.from_disk else "run_put_back")

    async def _fail(self, run: Run, failure: RunFailure, importing: ImportRun | None) -> None:
        """End the run as failed, and record a file put aside. Does nothing if the import was committed."""
        assert run.owner is not None
        file = importing.file if importing else None
        now = utc_now()
        aside = file if importing and importing.aside else None
        kept = kept_file(aside, FileState.QUARANTINED, run, now) if aside else None
        async with self._database.write() as session:
            connection = await session.connection()
            ended = await runs.finish(
                connection,
                run.id,
                run.owner,
                RunStatus.FAILED,
                now,
                failure_code=failure.code,
                failure_message=reassuring(failure.message),
                **(importing.progress.columns() if importing else {}),
                error_log_encrypted=self._error_log(run, failure) if failure.connection else None,
            )
            superseded = await superseded_copy(connection, kept)
            if ended and kept:
                await connection.execute(import_files.keeping(connection, kept))
        if not ended:
            log.warning("failure_after_end", code=failure.code)
            return
        if file and importing and importing.stored:
            await self._downloads.remove(run.district_id, file.path.name, FileState.RETAINED)
        if superseded:
            await self._downloads.remove(run.district_id, superseded, FileState.QUARANTINED)
        log.warning("run_failed", code=failure.code)

    def _error_log(self, run: Run, failure: RunFailure) -> str:
        return self._cipher.encrypt(error_log(run, failure), runs.error_log_place(run.id))

    async def report(self, run_id: UUID) -> None:
        """Make what follows the end of a run: its PDF, and order in the download folder.

        Does nothing for a run that has not ended, or whose PDF is there or somebody else's to make.
        """
        async with self._database.read() as session:
            run = await session.get(Run, run_id)
        if run is None or run.status not in FINAL_STATUSES:
            return
        async with self._database.write() as session:
            connection = await session.connection()
            lease = report_lease(self._settings)
            if not await run_reports.try_report(connection, run_id, utc_now(), lease):
                return
        async with self._database.read() as session:
            district = await session.get(District, run.district_id)
            assert district is not None
            connection = await session.connection()
            report = await report_data(connection, run, district, limit=self._settings.pdf_rows)
        key = run_reports.report_key(run_id)
        try:
            await self._tidy(run.district_id)
            await self._make_pdf(report, key)
        except asyncio.CancelledError:
            await self._end_report_try(run_id, counts=False)
            raise
        except PdfFailed as error:
            # The import stands, and JSON and CSV have the same facts.
            log.error("pdf_failed", reason=str(error))  # noqa: TRY400 - the reason says it all
            await self._end_report_try(run_id, counts=True)
            return
        except RunFailure as failure:  # of the store, which is tried again as long as it is away
            log.warning("report_put_off", code=failure.code)
            await self._end_report_try(run_id, counts=False, at_once=False)
            return
        async with self._database.write() as session:
            await run_reports.note_pdf(await session.connection(), run_id, Path(key).name)

    async def _make_pdf(self, report: dict[str, Any], key: str) -> None:
        settings = self._settings
        with scratch_directory(settings) as scratch:
            pdf = scratch / Path(key).name
            await render_pdf(report, pdf, timeout=settings.pdf_timeout, max_rows=settings.pdf_rows)
            await self._files.put(pdf, key)

    async def _end_report_try(self, run_id: UUID, *, counts: bool, at_once: bool = True) -> None:
        async with self._database.write() as session:
            connection = await session.connection()
            await run_reports.end_try(connection, run_id, counts=counts, at_once=at_once)

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
        for file in surplus:
            await self._downloads.remove(district_id, file.stored_as, file.state)
        await self._downloads.remove_strays(district_id, known, STRAY_AGE)


def check_attempts(run: Run) -> None:
    """Raise WorkerLost for a run that took too many workers down."""
    if run.attempt > MAX_ATTEMPTS:
        raise WorkerLost(
            f"The import was begun {MAX_ATTEMPTS} times and its worker was lost each time. Nothing was "
            "changed. Ask the operator to look at the worker's log and memory."
        )


def layout_of(district: District) -> Layout:
    """Return the district's own layout, or its state's."""
    if district.layout is not None:
        return parse_layout(district.layout, f"of district {district.id}")
    return layout_for_state(district.state)


def report_lease(settings: Settings) -> timedelta:
    """Return how long one try at a PDF may take, before somebody else may try."""
    return timedelta(seconds=settings.pdf_timeout) + REPORT_SLACK
