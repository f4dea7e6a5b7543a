"""Runs and what they found."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.constants import FindingKind, RunKind, RunPhase, RunStatus, RunTrigger
from app.models.base import BIG_ID, district_field, enum_type, utc_now

_IN_PROGRESS = sa.text("status = 'in_progress'")
_WAITING = sa.text("status = 'waiting'")
_UNREPORTED = sa.text("report_pdf IS NULL AND status IN ('succeeded', 'failed')")
_UNFINISHED = sa.text("status IN ('waiting', 'in_progress')")
_WITH_LISTS = sa.text("lists_expired_at IS NULL")


class Run(SQLModel, table=True):
    """One execution of a task (I9). This row is the truth about it; the queue only nudges.

    `owner` is the token of the execution that claimed the run, `attempt` counts claims and
    `heartbeat_at` tells whether the claimant lives; all three are written by compare-and-swap only.
    """

    __tablename__ = "run"
    __table_args__ = (
        sa.UniqueConstraint("district_id", "task_id", "slot"),
        sa.Index(
            "uq_run_in_progress",
            "district_id",
            unique=True,
            sqlite_where=_IN_PROGRESS,
            postgresql_where=_IN_PROGRESS,
        ),
        sa.Index("ix_run_unfinished", "status", sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED),
        sa.Index("ix_run_waiting", "scheduled_start", "id", sqlite_where=_WAITING, postgresql_where=_WAITING),
        sa.Index("ix_run_unreported", "ended_at", sqlite_where=_UNREPORTED, postgresql_where=_UNREPORTED),
        sa.Index(None, "ended_at"),
        sa.Index(
            "ix_run_with_lists",
            "district_id",
            "ended_at",
            sqlite_where=_WITH_LISTS,
            postgresql_where=_WITH_LISTS,
        ),
        sa.Index(None, "district_id", "scheduled_start", "id"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    district_id: str = district_field()
    task_id: UUID | None = Field(default=None, foreign_key="task.id", ondelete="SET NULL")
    task_description: str = Field(max_length=200)
    kind: RunKind = Field(sa_type=enum_type(RunKind))
    trigger: RunTrigger = Field(sa_type=enum_type(RunTrigger))
    status: RunStatus = Field(default=RunStatus.WAITING, sa_type=enum_type(RunStatus))
    phase: RunPhase | None = Field(default=None, sa_type=enum_type(RunPhase))
    progress: int = 0
    slot: datetime | None = Field(
        default=None, description="Due time of the schedule slot; none for run now."
    )
    scheduled_start: datetime
    actual_start: datetime | None = None
    ended_at: datetime | None = None
    run_by: str = Field(max_length=200)
    late: bool = False
    accept_shrink: bool = False
    from_disk: bool = Field(default=False, description="Its file is on the disk of whoever started it.")

    attempt: int = 0
    owner: UUID | None = None
    heartbeat_at: datetime | None = None
    replacing_since: datetime | None = Field(
        default=None, description="Since when its district's records are being replaced, or last were."
    )

    file_name: str | None = Field(default=None, max_length=255)
    file_datestamp: str | None = Field(default=None, max_length=32)
    file_sha256: str | None = Field(default=None, max_length=64)
    file_size: int | None = Field(default=None, sa_type=sa.BigInteger)
    file_reused: bool = False

    summary: dict[str, Any] | None = Field(default=None, sa_type=sa.JSON)
    failure_code: str | None = Field(default=None, max_length=64)
    failure_message: str | None = Field(default=None, sa_type=sa.Text)
    error_log_encrypted: str | None = Field(default=None, sa_type=sa.Text)  # it names host and port
    report_pdf: str | None = Field(default=None, max_length=200, description="Name of the stored PDF.")
    report_tries: int = 0
    report_tried_at: datetime | None = None
    lists_expired_at: datetime | None = Field(
        default=None, description="When its findings and its PDF were deleted, since their time was over."
    )
    lists_redacted_at: datetime | None = Field(
        default=None, description="When lines of a person were last removed from its findings."
    )
    created_at: datetime = Field(default_factory=utc_now)
    request_id: str | None = Field(default=None, max_length=64, description="The request that started it.")
    traceparent: str | None = Field(
        default=None, max_length=64, description="The trace of that request (W3C Trace Context)."
    )


class RunFinding(SQLModel, table=True):
    """A line of one of a run's lists; counts only when its attempt is the one that ended the run."""

    __tablename__ = "run_finding"
    __table_args__ = (sa.Index(None, "district_id", "run_id", "attempt", "kind", "id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG_ID)
    district_id: str = district_field()
    run_id: UUID = Field(foreign_key="run.id", ondelete="CASCADE")
    attempt: int
    kind: FindingKind = Field(sa_type=enum_type(FindingKind))
    data: dict[str, Any] = Field(sa_type=sa.JSON)
