"""Bodies of runs and their reports."""

from datetime import datetime
from typing import Any, Self, TypeAlias
from uuid import UUID

from pydantic import Field
from sqlalchemy import Row

from app.api.router import BASE
from app.api.schemas.base import Answer, Body
from app.constants import FINAL_STATUSES, RunKind, RunPhase, RunStatus, RunTrigger
from app.models import Run

RunRow: TypeAlias = Run | Row[Any]
"""A run as an entity, or a row of its columns."""


class RunRequest(Body):
    """What a run-now may ask for."""

    kind: RunKind = Field(
        RunKind.IMPORT, strict=False, description="`preview` does everything but the replace."
    )
    accept_shrink: bool = Field(
        False, description="Import although most licensed employees would hold no certification any more."
    )


class RunFile(Answer):
    """The licence file of a run."""

    name: str
    datestamp: str | None = Field(description="Local date and time in the file's name.")
    sha256: str
    size: int = Field(description="Bytes.")
    reused: bool = Field(description="Retained from an earlier import, because the state had none.")


class RunFailureOut(Answer):
    """Why a run failed."""

    code: str = Field(examples=["sftp_unreachable"])
    message: str = Field(description="For the administrator who has to act on it.")


class RunLinks(Answer):
    """Where the parts of the report are; null until there is one, and after it expired."""

    report_pdf: str | None
    report_json: str | None
    skipped_csv: str | None
    rejected_csv: str | None
    changes_csv: str | None
    error_log: str | None


class RunOut(Answer):
    """One execution of a task."""

    id: UUID
    task_id: UUID | None = Field(description="Null when the task was deleted, or the file came from a disk.")
    task_description: str
    kind: RunKind
    trigger: RunTrigger
    status: RunStatus
    phase: RunPhase | None
    progress: int = Field(ge=0, le=100)
    scheduled_start: datetime
    actual_start: datetime | None
    end: datetime | None
    run_by: str
    late: bool
    file: RunFile | None
    summary: dict[str, Any] | None = Field(
        description="The figures of the report, once the run succeeded; a preview has an import's."
    )
    failure: RunFailureOut | None
    lists_expired_at: datetime | None = Field(
        description="When its lists and its PDF were deleted, since they are kept for a time only."
    )
    links: RunLinks

    @classmethod
    def of(cls, run: RunRow) -> Self:
        """Return the answer for a row."""
        return cls(
            **{name: getattr(run, name) for name in AS_STORED},
            end=run.ended_at,
            file=_file(run),
            failure=_failure(run),
            links=_links(run),
        )


AS_STORED = RunOut.model_fields.keys() & Run.model_fields.keys()


def _file(run: RunRow) -> RunFile | None:
    if run.file_name is None or run.file_sha256 is None or run.file_size is None:
        return None
    return RunFile(
        name=run.file_name,
        datestamp=run.file_datestamp,
        sha256=run.file_sha256,
        size=run.file_size,
        reused=run.file_reused,
    )


def _failure(run: RunRow) -> RunFailureOut | None:
    if run.failure_code is None:
        return None
    return RunFailureOut(code=run.failure_code, message=run.failure_message or "")


def _links(run: RunRow) -> RunLinks:
    address = f"{BASE}/runs/{run.id}"

    def link(part: str, *, there: bool) -> str | None:
        return f"{address}/{part}" if there else None

    kept = run.lists_expired_at is None
    ended = kept and run.status in FINAL_STATUSES
    return RunLinks(
        report_pdf=link("report.pdf", there=kept and run.report_pdf is not None),
        report_json=link("report.json", there=ended),
        skipped_csv=link("skipped.csv", there=ended),
        rejected_csv=link("rejected.csv", there=ended),
        changes_csv=link("changes.csv", there=ended),
        error_log=link("error-log", there=run.error_log_encrypted is not None),
    )
