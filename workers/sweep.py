"""Finds runs that nobody works on and puts them on the queue again."""

from datetime import timedelta
from typing import Any

import structlog

from app.factory import Factory
from app.models.base import utc_now
from app.storage import runs

PATIENCE = timedelta(seconds=15)
"""How long a due run may wait before its message counts as lost."""
REPORT_SPAN = timedelta(minutes=10)
"""How long after the end of a run its report is tried again."""

log = structlog.get_logger()


async def sweep(ctx: dict[str, Any]) -> None:
    """Nudge waiting runs whose message was lost, runs whose worker died, and ended runs without a report."""
    factory: Factory = ctx["factory"]
    now = utc_now()
    async with factory.database.engine.connect() as connection:
        abandoned = await runs.abandoned(connection, now, PATIENCE)
        unreported = await runs.without_report(connection, now - REPORT_SPAN, now - runs.STALE * 2)
    for run_id, attempt in abandoned:
        await factory.queue.enqueue_run(run_id, f"{attempt + 1}")
    for run_id in unreported:
        await factory.queue.enqueue_run(run_id, "report")
    if abandoned or unreported:
        log.info("swept", abandoned=len(abandoned), unreported=len(unreported))
