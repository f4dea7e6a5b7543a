"""The audit trail: listed, exported, sealed, and forgotten when its time is over."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError

from app.audit_source import this_host
from app.database import Database
from app.models.base import utc_now
from app.services.chores import for_each_district
from app.settings import Settings
from app.storage import audit_chain, audit_events
from app.storage.audit_chain import Head
from app.storage.pages import MAX_LIMIT, Page, PageRequest, every_row

BATCH = 1000
"""Events that are sealed, or deleted, in one transaction: on SQLite others wait that long, some 30 ms."""
TURN = 20.0
"""Seconds after which a look leaves what else there is to the next one."""

log = structlog.get_logger()


class AuditService:
    """The use cases of the audit trail; `tell` sends a record to whoever keeps such elsewhere."""

    def __init__(
        self, database: Database, settings: Settings, tell: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._database = database
        self._kept = timedelta(days=settings.audit_event_days)
        self._tell = tell

    async def page(self, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
        """Return a page of a district's events, the newest first."""
        async with self._database.look() as connection:
            return await audit_events.page(connection, district_id, request)

    def export(
        self, district_id: str, filters: Mapping[str, Any] | None = None
    ) -> AsyncIterator[sa.Row[Any]]:
        """Yield a district's events, the oldest first; `filters` are those of the list."""
        request = PageRequest(MAX_LIMIT, sort="at", filters=filters or {})
        return every_row(partial(self.page, district_id), request)

    async def seal(self, *, full: bool = False) -> int:
        """Give the events of all districts their links; return how many there were.

        Batches are committed one by one, so it may end anywhere and be begun again. Where another seals, it
        is left to them. A `full` look also finds events that are much older than those sealed before.
        """
        until, sealed = time.monotonic() + TURN, list[int]()

        async def seal(district_id: str) -> None:
            since = await self._since(district_id, full=full)
            while found := await self._seal_batch(district_id, since):
                sealed.append(len(found))
                if len(found) < BATCH or time.monotonic() >= until:
                    return
                since = found[-1].at  # what was committed before it meanwhile, the next look finds

        await for_each_district(self._database, seal, until)
        return sum(sealed)

    async def _since(self, district_id: str, *, full: bool) -> datetime | None:
        if full:
            return None
        async with self._database.read() as session:
            _, last = await audit_chain.head_of(await session.connection(), district_id)
        return last and min(last, utc_now()) - audit_chain.STRAGGLING

    async def _seal_batch(self, district_id: str, since: datetime | None) -> Sequence[sa.Row[Any]]:
        async with self._database.read() as session:  # so that nobody waits for it: it may scan the trail
            found = await audit_chain.unsealed(await session.connection(), district_id, since, BATCH)
        if not found:
            return ()
        try:
            async with self._database.write() as session:
                connection = await session.connection()
                if not await audit_chain.only_one(connection, district_id):
                    return ()
                head, _ = await audit_chain.head_of(connection, district_id)
                sealed = await audit_chain.sealed_of(connection, district_id, [each.id for each in found])
                found = [each for each in found if each.id not in sealed]
                if not found:
                    return ()
                head = await audit_chain.append(connection, district_id, head, found)
        except IntegrityError:  # the lock makes it rare; the key makes it impossible
            log.info("audit_sealed_by_another", district=district_id)
            return ()
        self._tell_head(district_id, head, len(found))
        return found

    def _tell_head(self, district_id: str, head: Head, number: int) -> None:
        """Say outside the database where the chain stands: who writes to the database cannot take it back."""
        facts = {"district": district_id, "sequence": head.sequence, "hash": head.hash, "events": number}
        log.info("audit_sealed", **facts)
        at = utc_now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._tell(
            {"at": at, "action": "audit_sealed", "outcome": "success", "process": f"{this_host()}/-"} | facts
        )

    async def forget(self, now: datetime) -> None:
        """Delete sealed events whose time is over, of all districts, in batches."""
        until = time.monotonic() + TURN
        await for_each_district(
            self._database, partial(self._forget, before=now - self._kept, until=until), until
        )

    async def _forget(self, district_id: str, before: datetime, until: float) -> None:
        forgotten = 0
        while number := await self._forget_batch(district_id, before):
            forgotten += number
            if number < BATCH or time.monotonic() >= until:
                break
        if forgotten:
            log.info("audit_events_forgotten", district=district_id, number=forgotten)

    async def _forget_batch(self, district_id: str, before: datetime) -> int:
        async with self._database.write() as session:
            connection = await session.connection()
            if not await audit_chain.only_one(connection, district_id):
                return 0
            return await audit_chain.forget(connection, district_id, before, BATCH)
