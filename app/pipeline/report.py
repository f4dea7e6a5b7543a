"""The report of a run, from what was stored: the same facts as JSON, PDF and CSV (I12)."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FindingKind, RunKind, RunStatus
from app.models import District, Run
from app.storage import run_findings

LISTS = {
    FindingKind.SKIPPED: "skipped",
    FindingKind.MISSING: "missing_certification",
    FindingKind.EXPIRED: "expired",
    FindingKind.OTHER_NAME: "other_name",
    FindingKind.OVERWRITTEN: "overwritten",
    FindingKind.CHANGE: "changes",
    FindingKind.BLANK_DATES: "blank_dates",
    FindingKind.DISAGREEMENT: "disagreement",
    FindingKind.REJECTED: "rejected",
}
"""The lists of a report by their names in JSON, the most important first."""

OF_A_FAILED_RUN = (FindingKind.SKIPPED, FindingKind.OTHER_NAME, FindingKind.REJECTED)
"""What is worth knowing of a file that was not imported; the rest describes data that is not there."""


def instant(moment: datetime | None) -> str | None:
    """Return an instant as api.md writes it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None


def kinds_of(run: Run) -> tuple[FindingKind, ...]:
    """Return which lists the report of an ended run has."""
    return tuple(LISTS) if run.status == RunStatus.SUCCEEDED else OF_A_FAILED_RUN


def notice(run: Run) -> str | None:
    """Return what has to be said first of an ended run that changed nothing; None of one that did."""
    if run.status == RunStatus.SUCCEEDED:
        return "This was a preview. Nothing was changed." if run.kind == RunKind.PREVIEW else None
    ending = "was cancelled" if run.status == RunStatus.CANCELLED else "failed"
    return f"The {run.kind} {ending}. Nothing was changed."


def redactions(run: Run) -> list[str]:
    """Return what has to be said of lists that lack what they had: a report is evidence."""
    if run.lists_redacted_at is None:
        return []
    day = f"{run.lists_redacted_at:%Y-%m-%d}"
    return [f"Lines about a person were removed from these lists on {day}; the figures count them still."]


def header(run: Run, district: District) -> dict[str, Any]:
    """Return the report without its lists."""
    failure = {"code": run.failure_code, "message": run.failure_message} if run.failure_code else None
    file = {
        "name": run.file_name,
        "datestamp": run.file_datestamp,
        "sha256": run.file_sha256,
        "size": run.file_size,
        "reused": run.file_reused,
    }
    return {
        "notice": notice(run),
        "run": {
            "id": str(run.id),
            "task_description": run.task_description,
            "kind": run.kind.value,
            "trigger": run.trigger.value,
            "status": run.status.value,
            "run_by": run.run_by,
            "scheduled_start": instant(run.scheduled_start),
            "actual_start": instant(run.actual_start),
            "end": instant(run.ended_at),
            "late": run.late,
            "failure": failure,
        },
        "district": {
            "id": district.id,
            "name": district.name,
            "state": district.state,
            "timezone": district.timezone,
        },
        "file": file if run.file_name else None,
        "summary": run.summary,
    }


async def outline(connection: AsyncConnection, run: Run, district: District) -> dict[str, Any]:
    """Return the report of an ended run with empty lists; each list's `total` is its true length."""
    kinds = kinds_of(run)
    totals = await run_findings.totals(connection, run, kinds)
    warnings = run_findings.findings(connection, run, FindingKind.WARNING)
    return {
        **header(run, district),
        "warnings": [item["text"] async for item in warnings] + redactions(run),
        "lists": {LISTS[kind]: {"total": totals[kind], "items": []} for kind in kinds},
    }


async def report_data(
    connection: AsyncConnection, run: Run, district: District, limit: int
) -> dict[str, Any]:
    """Return the report of an ended run, each list cut to `limit` items, as the PDF needs it."""
    report = await outline(connection, run, district)
    for kind in kinds_of(run):
        items = run_findings.findings(connection, run, kind, limit)
        report["lists"][LISTS[kind]]["items"] = [item async for item in items]
    return report
