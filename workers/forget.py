"""Deletes old events, of connections and of the audit trail, and seals what was overlooked."""

from functools import partial
from typing import Any

import structlog

from app.factory import Factory
from app.logs import trace
from app.models.base import utc_now

log = structlog.get_logger()


async def forget(ctx: dict[str, Any]) -> None:
    """Delete old events; what one worker leaves, the next one finds.

    Before that it seals stragglers, which `seal` does not look for.
    """
    factory: Factory = ctx["factory"]
    now = utc_now()
    for chore in (
        partial(factory.connection_events.forget, now),
        partial(factory.audit.seal, full=True),
        partial(factory.audit.forget, now),
        partial(factory.token_reads.forget, now),
    ):
        try:
            await chore()
        except Exception as error:  # noqa: BLE001 - arq would log its message, which can quote a row
            log.error("forget_failed", **trace(error))  # noqa: TRY400 - as above
