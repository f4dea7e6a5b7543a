"""Executes a run: claims it, imports, and ends it. Used by the worker and the CLI."""

import asyncio
import time
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from app.constants import FileState, RunKind, RunStatus
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
from app.pipeline.run import ImportRun
from app.reach import everywhere, within_district
from app.services.run_failures import as_failure, error_log, reassuring
from app.settings import Settings
from app.storage import due_runs, import_files, runs
from app.storage.scratch import scratch_directory
from app.telemetry import RunTelemetry, about

MAX_ATTEMPTS = 5
"""A run that took so many workers down is ended instead of taking another."""

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
        fetcher: Fetcher,
        lock: ImportLock,
        telemetry: RunTelemetry,
    ) -> None:
        self._database = database
        self._settings = settings
        self._downloads = fetcher.downloads
        self._cipher = cipher
        self._lock = lock
        self._telemetry = telemetry
        self._fetcher = fetcher

    async def execute(self, run_id: UUID, local_path: Path | None = None) -> None:
        """Execute the run if it is there to be taken, but for its report; failures end it and are not raised.

        Cancellation puts the run back to waiting, so that the next worker takes it at once.
        """
        with structlog.contextvars.bound_contextvars(run_id=str(run_id)):
            run = await self._claim(run_id, from_disk=local_path is not None)
            if run is not None:
                await self._import(run, local_path)

    async def execute_next(self) -> UUID | None:
        """Execute the run that has been due longest, as `execute` does; None when there is none to take.

        Of whichever district; one whose run is in progress is passed over.
        """
        run = None
        while run is None:
            try:
                with everywhere():
                    async with self._database.write() as session:
                        run = await due_runs.claim_next(await session.connection(), uuid4(), utc_now())
                if run is None:
                    return None
            except IntegrityError:  # of two runs of one district, another worker took the other just now
                continue
        await self._import(run, None)
        return run.id

    async def _claim(self, run_id: UUID, *, from_disk: bool) -> Run | None:
        try:
            with everywhere():
                async with self._database.write() as session:
                    connection = await session.connection()
                    return await due_runs.claim(connection, run_id, uuid4(), utc_now(), from_disk=from_disk)
        except IntegrityError:
            log.info("run_deferred", reason="another run of the district is in progress")
            return None

    async def _import(self, run: Run, local_path: Path | None) -> None:
        with about(run), within_district(run.district_id), self._telemetry.attempt(run):
            log.info("run_started", attempt=run.attempt)
            await self._attempt(run, local_path)

    async def _attempt(self, run: Run, local_path: Path | None) -> None:
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

    async def _fail(self, run: Run, failure: RunFailure, importing: ImportRun | None) -> bool:
        """End the run as failed, and record a file put aside; False if it had ended: the import stands."""
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
            return False
        if file and importing and importing.stored:
            await self._downloads.remove(run.district_id, file.path.name, FileState.RETAINED)
        if superseded:
            await self._downloads.remove(run.district_id, superseded, FileState.QUARANTINED)
        log.warning("run_failed", code=failure.code)
        return True

    def _error_log(self, run: Run, failure: RunFailure) -> str:
        return self._cipher.encrypt(error_log(run, failure), runs.error_log_place(run.id))


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
