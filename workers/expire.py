"""Deletes lists, reports, edits and files whose time is over, and what else was promised to go."""

from typing import Any

import structlog

from app.factory import Factory
from app.logs import trace
from app.models.base import utc_now

log = structlog.get_logger()


async def expire(ctx: dict[str, Any]) -> None:
    """Delete what is over; what takes longer than its limit goes on an hour later."""
    factory: Factory = ctx["factory"]
    try:
        await factory.retention.forget(utc_now())
    except Exception as error:  # noqa: BLE001 - arq would log its message, which can quote a row
        log.error("forget_failed", **trace(error))  # noqa: TRY400 - as above
