"""The security events of the connection: listed, exported, and forgotten when their time is over (I10)."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from app.crypto import Cipher, DecryptionError
from app.database import Database
from app.errors import ServiceUnavailableError
from app.services.chores import for_each_district
from app.settings import Settings
from app.storage import connection_events
from app.storage.connection_events import OpenedEvent
from app.storage.pages import Page, PageRequest, every_row

CHUNK = 500
"""Events of an export that are read at a time, each time in a transaction of its own."""

log = structlog.get_logger()


class ConnectionEventService:
    """The use cases of connection events."""

    def __init__(self, database: Database, cipher: Cipher, settings: Settings) -> None:
        self._database = database
        self._cipher = cipher
        self._kept = timedelta(days=settings.connection_event_days)

    async def page(self, district_id: str, request: PageRequest) -> Page[OpenedEvent]:
        """Return a page of a district's events, the newest first."""
        async with self._database.look() as connection:
            try:
                return await connection_events.page(connection, self._cipher, district_id, request)
            except DecryptionError as error:
                log.error("event_not_decrypted", reason=str(error))  # noqa: TRY400 - the reason says it all
                raise ServiceUnavailableError(
                    "An event cannot be decrypted: its key is missing, or it was altered. The log has "
                    "the reason."
                ) from error

    def export(
        self, district_id: str, filters: Mapping[str, Any] | None = None
    ) -> AsyncIterator[OpenedEvent]:
        """Yield a district's events, the oldest first; `filters` are those of the list."""
        request = PageRequest(CHUNK, sort="at", filters=filters or {})
        return every_row(partial(self.page, district_id), request)

    async def forget(self, now: datetime) -> None:
        """Delete the events whose time is over, of all districts."""
        await for_each_district(self._database, partial(self._forget, before=now - self._kept))

    async def _forget(self, district_id: str, before: datetime) -> None:
        async with self._database.write() as session:
            number = await connection_events.forget(await session.connection(), district_id, before)
        if number:
            log.info("connection_events_forgotten", district=district_id, number=number)
