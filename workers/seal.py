"""Seals the audit trail: new events get their links in the chain."""

from typing import Any

import structlog

from app.errors import ServiceUnavailableError
from app.factory import Factory
from app.logs import trace

log = structlog.get_logger()


async def seal(ctx: dict[str, Any]) -> None:
    """Seal what was recorded since the last look; what one worker leaves, the next one finds."""
    factory: Factory = ctx["factory"]
    try:
        await factory.audit.seal()
    except ServiceUnavailableError:  # the next look follows in seconds
        log.info("audit_seal_put_off", reason="the database is busy")
    except Exception as error:  # noqa: BLE001 - arq would log its message, which can quote a row
        log.error("audit_seal_failed", **trace(error))  # noqa: TRY400 - as above
