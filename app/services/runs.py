"""Starts runs and shows them (I8, I9)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import (
    FINAL_STATUSES,
    AuditAction,
    AuditRecord,
    FindingKind,
    RunKind,
    RunStatus,
    RunTrigger,
)
from app.crypto import Cipher, DecryptionError
from app.database import Database
from app.errors import (
    ExpiredError,
    NotFoundError,
    ReportNotReadyError,
    RunInProgressError,
    RunNotCancellableError,
    ServiceUnavailableError,
)
from app.failures import StorageFailed
from app.job_queue import JobQueue
from app.models import Run
from app.models.base import utc_now
from app.pipeline.report import kinds_of, outline
from app.reads import answered
from app.services.idempotency import NO_KEY, Once
from app.services.schedule import after_cancel
from app.storage import audit_events, districts, due_runs, run_ends, run_findings, run_reports, runs, tasks
from app.storage.audit_events import Change
from app.storage.file_store import FileStore, RemoteObject
from app.storage.pages import Page, PageRequest
from app.telemetry import origin

RETRY_SECONDS = 2

log = structlog.get_logger()


@dataclass(frozen=True)
class RunOptions:
    """What a run-now may ask for."""

    kind: RunKind = RunKind.IMPORT
    accept_shrink: bool = False


class RunService:
    """Use cases of runs, each in its own transaction."""

    def __init__(self, database: Database, queue: JobQueue, cipher: Cipher, files: FileStore) -> None:
        self._database = database
        self._queue = queue
        self._cipher = cipher
        self._files = files

    async def start(
        self, district_id: str, task_id: UUID, user: str, options: RunOptions, once: Once = NO_KEY
    ) -> Run:
        """Commit a waiting run of the task, then nudge the queue; for an inactive task too (I8).

        Raises NotFoundError for an unknown task, RunInProgressError while a run of the district is in
        progress, or due and waiting.
        """
        async with self._database.write() as session:
            await once.begin(session)
            task = await tasks.find(session, district_id, task_id)
            if task is None:
                raise NotFoundError(f"There is no task {task_id} in your district.")
            run = new_run(district_id, task.description, user, options, task_id=task.id)
            await self._add(session, run)
            await once.end(session, run)
        await self._queue.enqueue_run(run.id, "start")
        return run

    async def start_local(self, district_id: str, description: str, user: str, options: RunOptions) -> Run:
        """Commit a waiting run that belongs to no task; the caller, who has the file, executes it.

        Raises NotFoundError for an unknown district, and RunInProgressError as `start` does.
        """
        run = new_run(district_id, description, user, options, from_disk=True)
        async with self._database.write() as session:
            await self._add(session, run)
        return run

    async def _add(self, session: AsyncSession, run: Run) -> None:
        """Store a run that is due now, unless one of the district is unfinished."""
        # Whoever starts a run of the district holds its row meanwhile, so two clicks make one run.
        if not await districts.lock(session, run.district_id):
            raise NotFoundError(f"There is no district {run.district_id!r}.")
        now = utc_now()  # after the wait, or a run that was started meanwhile would not be due yet
        connection = await session.connection()
        await due_runs.end_lost_from_disk(connection, now, run.district_id)
        unfinished = await runs.unfinished(connection, run.district_id, now)
        if unfinished is not None:
            raise RunInProgressError(
                "A run of the district is in progress, or due and waiting. Wait for its end.",
                extra={"run_id": str(unfinished)},
                headers={"Link": f'</api/v1/runs/{unfinished}>; rel="related"'},
            )
        run.scheduled_start = run.created_at = now
        session.add(run)
        await session.flush()
        after = {
            "task_id": run.task_id,
            "task_description": run.task_description,
            "kind": run.kind,
            "accept_shrink": run.accept_shrink,
        }
        change = Change(AuditAction.STARTED, AuditRecord.RUN, run.id, None, after)
        await audit_events.record(connection, run.district_id, change)

    async def cancel(self, district_id: str, run_id: UUID, once: Once = NO_KEY) -> Run:
        """End a run before it replaces anything; its worker stops within a second or two.

        The next occurrence of its task takes the place of a scheduled one. Raises NotFoundError, and
        RunNotCancellableError when it has ended or has begun to replace records.
        """
        async with self._database.write() as session:
            await once.begin(session)
            run = await self._find(session, district_id, run_id)
            if run.task_id is not None:  # whoever moves its runs locks the task first, so we do as well
                await tasks.find(session, district_id, run.task_id, to_change=True)
            connection = await session.connection()
            before = await run_ends.locked_status(connection, district_id, run_id)
            cancelled = await run_ends.cancel(connection, district_id, run_id, utc_now())
            if cancelled is None:
                session.expire_all()
                raise not_cancellable(await self._find(session, district_id, run_id))
            await after_cancel(session, cancelled)
            change = Change(
                AuditAction.CANCELLED, AuditRecord.RUN, run_id, {"status": before}, {"kind": run.kind}
            )
            await audit_events.record(connection, district_id, change)
            await once.end(session, cancelled)
        log.info("run_cancelled", run_id=str(run_id))
        return cancelled

    async def page(self, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
        """Return a page of the district's runs, the newest first; rows have the columns of `Run`."""
        async with self._database.look() as connection:
            return await runs.page(connection, district_id, request)

    async def get(self, district_id: str, run_id: UUID) -> Run:
        """Return a run; raises NotFoundError when the district has none of this id."""
        async with self._database.read() as session:
            return await self._find(session, district_id, run_id)

    async def _find(self, session: AsyncSession, district_id: str, run_id: UUID) -> Run:
        run = await runs.find(session, district_id, run_id)
        if run is None:
            raise NotFoundError(f"There is no run {run_id} in your district.")
        return run

    async def ended(self, district_id: str, run_id: UUID) -> Run:
        """Return a run that has ended; raises ReportNotReadyError before, ExpiredError long after."""
        run = await self.get(district_id, run_id)
        if run.status not in FINAL_STATUSES:
            raise not_ready("The run has not ended yet.")
        if run.lists_expired_at is not None:
            raise ExpiredError(
                f"The lists and the PDF of this run expired on {run.lists_expired_at:%Y-%m-%d}: they are "
                "kept for a time only. The run itself has its figures still."
            )
        return run

    async def pdf(self, district_id: str, run_id: UUID) -> Path | RemoteObject:
        """Return the run's PDF, as the store has it; raises ReportNotReadyError until it is made.

        Raises NotFoundError when there will be none, ServiceUnavailableError when the store does not answer.
        """
        run = await self.ended(district_id, run_id)
        if run.status is RunStatus.CANCELLED:
            raise NotFoundError("The run was cancelled, so it has no PDF.")
        if run.report_pdf is None and run.report_tries >= run_reports.TRIES:
            raise NotFoundError("The PDF could not be made; the same facts are in report.json.")
        if run.report_pdf is None:
            raise not_ready("The PDF is still being made; the same facts are in report.json.")
        try:
            return await self._files.open(run_reports.pdf_key(run))
        except FileNotFoundError as error:
            raise NotFoundError("The PDF is not stored any more; report.json has the same facts.") from error
        except StorageFailed as error:
            raise ServiceUnavailableError(
                "The storage of files does not answer. Try again; the same facts are in report.json.",
                headers={"Retry-After": "5"},
            ) from error

    def pdf_address(self, run: Run) -> str | None:
        """Return where the run's PDF lies, for who may look there; None as long as there is none."""
        return self._files.address(run_reports.pdf_key(run)) if run.report_pdf else None

    async def report(self, district_id: str, run_id: UUID) -> tuple[Run, dict[str, Any]]:
        """Return a run that has ended and its report; the lists, which can be long, come from `items`."""
        run = await self.ended(district_id, run_id)
        async with self._database.read() as session:
            district = await districts.find(session, district_id)
            assert district is not None, "a run's district exists: a foreign key says so"
            return run, await outline(await session.connection(), run, district)

    async def items(self, run: Run, kind: FindingKind) -> AsyncIterator[dict[str, Any]]:
        """Yield one list of an ended run; empty when its report has no such list."""
        if kind not in kinds_of(run):
            return
        last = 0
        while True:  # no connection is held while a slow reader takes in what it was given
            async with self._database.read() as session:
                found = await run_findings.chunk(await session.connection(), run, kind, last)
            if not found:
                return
            answered(len(found))
            for _, item in found:
                yield item
            last = found[-1][0]

    async def error_log(self, district_id: str, run_id: UUID) -> str:
        """Return the error log of a run whose connection failed (I10).

        Raises NotFoundError without one, ServiceUnavailableError when it does not decrypt.
        """
        run = await self.get(district_id, run_id)
        if run.error_log_encrypted is None:
            raise NotFoundError("This run has no error log: its connection did not fail.")
        try:
            return self._cipher.decrypt(run.error_log_encrypted, runs.error_log_place(run.id))
        except DecryptionError as error:
            log.error("error_log_not_decrypted", reason=str(error))  # noqa: TRY400 - the reason says it all
            raise ServiceUnavailableError(
                "The stored error log cannot be decrypted: its key is missing, or it was altered. The log "
                "has the reason."
            ) from error


def new_run(district_id: str, description: str, user: str, options: RunOptions, **of: Any) -> Run:
    """Return a run that `user` starts now, not stored yet; `of` says of which task, or of which file."""
    return Run(
        district_id=district_id,
        task_description=description,
        kind=options.kind,
        trigger=RunTrigger.RUN_NOW,
        scheduled_start=utc_now(),
        run_by=user,
        accept_shrink=options.accept_shrink,
        **origin(),
        **of,
    )


def not_cancellable(run: Run) -> RunNotCancellableError:
    """Return the refusal that says which it is: an end, or a replace that goes on."""
    if run.status in FINAL_STATUSES:
        return RunNotCancellableError(f"The run has ended already; it is {run.status.value}.")
    return RunNotCancellableError(
        "The run has begun to replace records, which it does whole or not at all. Wait for its end."
    )


def not_ready(detail: str) -> ReportNotReadyError:
    """Return the 404 that says when to ask again."""
    return ReportNotReadyError(detail, headers={"Retry-After": str(RETRY_SECONDS)})
