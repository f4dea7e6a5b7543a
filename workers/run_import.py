"""The job that executes one run."""

from typing import Any
from uuid import UUID

import structlog
from arq import Retry

from app.factory import Factory
from app.logs import trace

RUNS_AT_ONCE = 2
"""Runs of different districts that one worker executes side by side."""
GIVE_BACK_SECONDS = 5
"""How long a message that a full worker gave back stays away; any worker may take it after that."""
GIVE_BACK_TRIES = 12
"""How often a message is given back. By then the sweep has sent another one for the run."""

log = structlog.get_logger()


async def run_import(ctx: dict[str, Any], run_id: str) -> None:
    """Execute a run, if it is still there to be taken; the run row says how it ended.

    Gives the message back (arq's Retry) while `RUNS_AT_ONCE` others are executed here, so that long
    imports never keep the worker from its chores.
    """
    executing: set[str] = ctx["executing"]
    message: str = ctx["job_id"]
    if len(executing) >= RUNS_AT_ONCE:
        if ctx["job_try"] < GIVE_BACK_TRIES:
            raise Retry(defer=GIVE_BACK_SECONDS)
        return
    executing.add(message)
    factory: Factory = ctx["factory"]
    try:
        await factory.execution.execute(UUID(run_id))
        await factory.runs.nudge_next(UUID(run_id))
    except Exception as error:  # noqa: BLE001 - arq would log its message, which can quote a row
        # The run is as it was, so the sweep finds it and nudges again.
        log.error("job_failed", run_id=run_id, **trace(error))  # noqa: TRY400 - its message may quote a row
    finally:
        executing.discard(message)
