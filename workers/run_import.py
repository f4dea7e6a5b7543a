"""The job that executes one run."""

from typing import Any
from uuid import UUID

import structlog

from app.factory import Factory
from app.logs import trace

log = structlog.get_logger()


async def run_import(ctx: dict[str, Any], run_id: str) -> None:
    """Execute a run, if it is still there to be taken; the run row says how it ended."""
    factory: Factory = ctx["factory"]
    try:
        await factory.execution.execute(UUID(run_id))
    except Exception as error:  # noqa: BLE001 - arq would log its message, which can quote a row
        # The run is as it was, so the sweep finds it and nudges again.
        log.error("job_failed", run_id=run_id, **trace(error))  # noqa: TRY400 - its message may quote a row
