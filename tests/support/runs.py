"""Rows of tasks and runs, as a test wants them."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from app.constants import RunKind, RunPhase, RunStatus, RunTrigger, TaskStatus
from app.models import Run, Task
from tests.support.api import HERE

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def inactive_task(**values: Any) -> Task:
    users = dict.fromkeys(("created_by", "updated_by", "scheduled_by"), "kmarsh")
    common: dict[str, Any] = {
        "district_id": HERE,
        "description": "Licences",
        "status": TaskStatus.INACTIVE,
        "timezone": "America/New_York",
        "version": 1,
    }
    return Task(**common | users | values)


def waiting_run(**values: Any) -> Run:
    common: dict[str, Any] = {
        "district_id": HERE,
        "task_description": "Licences",
        "kind": RunKind.IMPORT,
        "trigger": RunTrigger.RUN_NOW,
        "scheduled_start": NOW,
        "run_by": "kmarsh",
    }
    return Run(**common | values)


def running(**values: Any) -> Run:
    """A run that a worker is parsing a file for."""
    now = datetime.now(UTC)
    common: dict[str, Any] = {
        "status": RunStatus.IN_PROGRESS,
        "phase": RunPhase.PARSE,
        "progress": 30,
        "attempt": 1,
        "owner": uuid4(),
        "actual_start": now,
        "heartbeat_at": now,
    }
    return waiting_run(**common | values)


def ended_run(status: RunStatus = RunStatus.SUCCEEDED, **values: Any) -> Run:
    done = {"phase": RunPhase.REPORT, "progress": 100, "summary": {}} if status == "succeeded" else {}
    return running(**{"status": status, "ended_at": NOW} | done | values)
