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
Columns: TypeAlias = dict[str, Any]


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
        return cls.model_validate(shown(run))


def shown(run: RunRow) -> dict[str, Any]:
    """Return what `RunOut` is made of: plain values, since making its parts one by one takes far longer."""
    of = dict(run) if isinstance(run, Run) else dict(zip(run._fields, run, strict=True))
    return {**of, "end": of["ended_at"], "file": _file(of), "failure": _failure(of), "links": _links(of)}


def _file(of: Columns) -> dict[str, Any] | None:
    if of["file_name"] is None or of["file_sha256"] is None or of["file_size"] is None:
        return None
    return {name: of[f"file_{name}"] for name in ("name", "datestamp", "sha256", "size", "reused")}


def _failure(of: Columns) -> dict[str, str] | None:
    if of["failure_code"] is None:
        return None
    return {"code": of["failure_code"], "message": of["failure_message"] or ""}


def _links(of: Columns) -> dict[str, str | None]:
    address = f"{BASE}/runs/{of['id']}"
    kept = of["lists_expired_at"] is None
    ended = kept and of["status"] in FINAL_STATUSES
    return {
        "report_pdf": f"{address}/report.pdf" if kept and of["report_pdf"] is not None else None,
        "report_json": f"{address}/report.json" if ended else None,
        "skipped_csv": f"{address}/skipped.csv" if ended else None,
        "rejected_csv": f"{address}/rejected.csv" if ended else None,
        "changes_csv": f"{address}/changes.csv" if ended else None,
        "error_log": f"{address}/error-log" if of["error_log_encrypted"] is not None else None,
    }
