"""Finds runs that nobody works on and puts them on the queue again."""

from datetime import timedelta
from typing import Any

import structlog

from app.errors import ServiceUnavailableError
from app.factory import Factory
from app.logs import trace
from app.models.base import utc_now
from app.reach import everywhere
from app.services.idempotency import KEPT
from app.services.run_reporting import report_lease
from app.services.schedule import MESSAGES
from app.storage import due_runs, idempotency_keys, run_reports

PATIENCE = timedelta(seconds=15)
"""How long a due run, or the report of one that has ended, may wait before its message counts as lost."""
NUDGE_SECONDS = 15
"""One nudge of a run in so many seconds, the time between two sweeps, under an id of its own.

A worker that dies right after it took a message leaves a mark at Redis that blocks the message's id for as
long as a job may take. The claim makes a nudge too many harmless.
"""

log = structlog.get_logger()


async def sweep(ctx: dict[str, Any]) -> None:
    """Nudge waiting runs whose message was lost, runs whose worker died, and ended runs without a report."""
    try:
        with everywhere():
            await _sweep(ctx["factory"])
    except ServiceUnavailableError:  # the next sweep follows in seconds
        log.info("sweep_put_off", reason="the database is busy")
    except Exception as error:  # noqa: BLE001 - arq would log its message, which can quote a row
        log.error("sweep_failed", **trace(error))  # noqa: TRY400 - as above


async def _sweep(factory: Factory) -> None:
    now = utc_now()
    async with factory.database.write() as session:
        connection = await session.connection()
        await due_runs.end_lost_from_disk(connection, now)
        abandoned = await due_runs.abandoned(connection, now, PATIENCE)
        unreported = await run_reports.next_report(connection, now, PATIENCE, report_lease(factory.settings))
    async with factory.database.write() as session:
        await idempotency_keys.forget(await session.connection(), now - KEPT)
    nudge = f"sweep-{int(now.timestamp()) // NUDGE_SECONDS}"
    left = abandoned[:MESSAGES] or ([unreported] if unreported else [])
    for run_id in left:
        if not await factory.queue.enqueue_run(run_id, nudge):
            break  # Redis is away; the next sweep asks again
    if left:
        log.info("swept", abandoned=len(abandoned), unreported=unreported is not None)
