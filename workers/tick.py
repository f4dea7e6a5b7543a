"""Looks at the clock: tasks that are due begin, and the occurrence after it of each is placed."""

from typing import Any

import structlog

from app.factory import Factory
from app.logs import trace
from app.models.base import utc_now

log = structlog.get_logger()


async def tick(ctx: dict[str, Any]) -> None:
    """Let the schedule catch up with the clock; what a tick misses the next one finds."""
    factory: Factory = ctx["factory"]
    try:
        await factory.schedule.tick(utc_now())
    except Exception as error:  # noqa: BLE001 - arq would log its message, which can quote a row
        log.error("tick_failed", **trace(error))  # noqa: TRY400 - as above


async def recompute(factory: Factory) -> None:
    """Let the schedule follow the time zone data that this worker has, when it starts."""
    try:
        await factory.schedule.recompute(utc_now())
    except Exception as error:  # noqa: BLE001 - the worker has to start: what is due does not depend on it
        log.error("recompute_failed", **trace(error))  # noqa: TRY400 - its message may quote a row
