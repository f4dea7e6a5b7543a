"""The job that executes runs which are due."""

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from arq import Retry

from app.factory import Factory
from app.logs import trace

GIVE_BACK_SECONDS = 2
"""How long a message that a full worker gave back stays away; any worker may take it after that."""
GIVE_BACK_TRIES = 3
"""How often a message is given back. By then nobody else was idle, and whoever ends a run looks for more."""
TURN = 60.0
"""Seconds after which a job leaves what else is due to a new message: it has a limit of its own."""

REPORT_PATIENCE = timedelta(minutes=10)
"""How long reports wait for imports."""

log = structlog.get_logger()


async def run_import(ctx: dict[str, Any], run_id: str) -> None:
    """Execute what is due and make reports, one after the other, as long as there is anything to do.

    A message only says that there is work. What is taken is the run that has waited longest, which need not
    be the one that is named: so districts have their turns in the order in which they came.

    Gives the message back (arq's Retry) while as many others are executed here as the setting allows, so
    that long imports never keep the worker from its chores.
    """
    executing: set[str] = ctx["executing"]
    message: str = ctx["job_id"]
    factory: Factory = ctx["factory"]
    if len(executing) >= factory.settings.runs_per_worker:
        if ctx["job_try"] < GIVE_BACK_TRIES:
            raise Retry(defer=GIVE_BACK_SECONDS)
        return
    executing.add(message)
    try:
        began = time.monotonic()
        while ctx["worker"].allow_pick_jobs and (done := await _next(factory)):
            if time.monotonic() - began > TURN:
                await factory.queue.enqueue_run(done, "and-more")
                break
    except Exception as error:  # noqa: BLE001 - arq would log its message, which can quote a row
        # The run is as it was, so the sweep finds it and nudges again.
        log.error("job_failed", run_id=run_id, **trace(error))  # noqa: TRY400 - its message may quote a row
    finally:
        executing.discard(message)


async def _next(factory: Factory) -> UUID | None:
    """Do what comes next and return the run that it was for; None when there is nothing to do.

    Imports come before reports: licences are urgent, and a PDF takes longer than most imports. But no
    report waits for ever, but for those that the erasure of a person has made again, by the hundred.
    """
    report = factory.reporting.report_next
    return (
        await report(REPORT_PATIENCE, redacted=False)
        or await factory.execution.execute_next()
        or await report(timedelta())
    )
