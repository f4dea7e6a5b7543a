"""Executes a run: claims it, imports, ends it, and makes its report. Used by the worker and the CLI."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from app.constants import FINAL_STATUSES, FileState, RunKind, RunPhase, RunStatus
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
from app.storage import import_files, run_reports, runs
from app.storage.download_folder import DownloadFolder
from app.telemetry import RunTelemetry, about

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
        downloads: DownloadFolder,
        lock: ImportLock,
        telemetry: RunTelemetry,
    ) -> None:
        self._database = database
        self._settings = settings
        self._downloads = downloads
        self._cipher = cipher
        self._lock = lock
        self._telemetry = telemetry
        self._fetcher = Fetcher(database, settings, cipher, downloads)

    async def execute(self, run_id: UUID, local_path: Path | None = None) -> None:
        """Execute the run if it is there to be taken; failures end it and are not raised.

        Cancellation puts the run back to waiting, so that the next worker takes it at once.
        """
        with structlog.contextvars.bound_contextvars(run_id=str(run_id)):
            run = await self._claim(run_id, from_disk=local_path is not None)
            if run is None:
                await self._report(run_id)
                return
            with about(run), self._telemetry.attempt(run):
                log.info("run_started", attempt=run.attempt)
                await self._import(run, local_path)
                await self._report(run_id)

    async def _claim(self, run_id: UUID, *, from_disk: bool) -> Run | None:
        owner = uuid4()
        try:
            async with self._database.write() as session:
                run = await runs.claim(
                    await session.connection(), run_id, owner, utc_now(), from_disk=from_disk
                )
        except IntegrityError:
            log.info("run_deferred", reason="another run of the district is in progress")
            return None
        return run

    async def _import(self, run: Run, local_path: Path | None) -> None:
        assert run.owner is not None
        began = time.perf_counter()
        progress = Progress(self._telemetry.phase)
        importing: ImportRun | None = None
        try:
            check_attempts(run)
            async with (
                heartbeat(self._database, run.id, run.owner, progress),
                asyncio.timeout(self._settings.run_timeout),
            ):
                district = await self._district(run.district_id)
                importing = ImportRun(
                    self._fetcher,
                    self._lock,
                    run,
                    run.owner,
                    district,
                    layout_of(district),
                    progress,
                    local_path,
                )
                await importing.execute()
            seconds = time.perf_counter() - began
            self._telemetry.ended(run, RunStatus.SUCCEEDED, seconds, summary=importing.summary)
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
            failure = as_failure(error, self._settings)
            if await self._fail(run, failure, importing):
                seconds = time.perf_counter() - began
                self._telemetry.ended(run, RunStatus.FAILED, seconds, code=failure.code)

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

    async def _fail(self, run: Run, failure: RunFailure, importing: ImportRun | None) -> bool:
        """End the run as failed, put a refused file aside; False if it had ended: the import stands."""
        assert run.owner is not None
        file = importing.file if importing else None
        own = file if file and not file.reused else None
        aside = own if failure.refuses_file and run.kind is RunKind.IMPORT else None
        now = utc_now()
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
            return False
        if aside:
            self._downloads.quarantine(run.district_id, aside.path.name)
        elif own:
            self._downloads.remove(run.district_id, own.path.name)
        if superseded:
            self._downloads.remove(run.district_id, superseded)
        log.warning("run_failed", code=failure.code)
        return True

    def _error_log(self, run: Run, failure: RunFailure) -> str:
        return self._cipher.encrypt(error_log(run, failure), runs.error_log_place(run.id))

    async def _report(self, run_id: UUID) -> None:
        """Make what follows the end of a run: its PDF, and order in the download folder."""
        async with self._database.read() as session:
            run = await session.get(Run, run_id)
        if run is None or run.status not in FINAL_STATUSES:
            return
        async with self._database.write() as session:
            connection = await session.connection()
            lease = report_lease(self._settings)
            if not await run_reports.try_report(connection, run_id, utc_now(), lease):
                return
        with about(run), self._telemetry.phase(RunPhase.REPORT):
            await self._make_report(run)

    async def _make_report(self, run: Run) -> None:
        async with self._database.read() as session:
            district = await session.get(District, run.district_id)
            assert district is not None
            connection = await session.connection()
            report = await report_data(connection, run, district, limit=self._settings.pdf_rows)
        await self._tidy(run.district_id)
        target = report_path(self._settings, run.id)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            await render_pdf(
                report, target, timeout=self._settings.pdf_timeout, max_rows=self._settings.pdf_rows
            )
        except asyncio.CancelledError:
            await self._end_report_try(run.id, counts=False)
            raise
        except PdfFailed as error:
            # The import stands, and JSON and CSV have the same facts.
            log.error("pdf_failed", reason=str(error))  # noqa: TRY400 - the reason says it all
            await self._end_report_try(run.id, counts=True)
            return
        async with self._database.write() as session:
            await run_reports.note_pdf(await session.connection(), run.id, target.name)

    async def _end_report_try(self, run_id: UUID, *, counts: bool) -> None:
        async with self._database.write() as session:
            await run_reports.end_try(await session.connection(), run_id, counts=counts)

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
            known = await import_files.stored_names(connection, district_id)
        for file in surplus:
            self._downloads.remove(district_id, file.stored_as)
        self._downloads.remove_strays(district_id, known, STRAY_AGE)


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


def report_path(settings: Settings, run_id: UUID) -> Path:
    """Return where a run's PDF lies."""
    return settings.data_dir / "reports" / f"{run_id}.pdf"
