"""Counts what service tokens read of personal data: in memory, and now and then in the database.

So no read has to write. What a process counted since its last flush is lost when it is killed.
"""

import asyncio
import re
from collections.abc import Collection
from datetime import date, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from app.access import Caller
from app.constants import EVERY_DISTRICT
from app.database import Database
from app.logs import trace
from app.models.base import utc_now
from app.reach import everywhere
from app.reads import Reading, begin
from app.services.chores import for_each_district
from app.settings import Settings
from app.storage import token_reads
from app.storage.token_reads import Counts, Key

FLUSH_SECONDS = 60
LAST_FLUSH_SECONDS = 3
"""For the last flush of a process that stops: it is killed soon after."""
SHOWN = timedelta(days=30)
"""What lists show."""
PERSONAL = re.compile(
    r"/api/v1/(?:(?P<noun>certifications|endorsements|employees|audit-events)\b"
    r"|runs/\{run_id\}/(?P<export>report|skipped|rejected|changes)\.)"
)
"""Routes whose answers are about persons; the kind is the noun, or `run-reports`."""
REFUSED = 400

log = structlog.get_logger()


def kind_of(method: str, route: str) -> str | None:
    """Return what personal data a route reads; None for none."""
    found = PERSONAL.match(route) if method == "GET" else None
    return (found["noun"] or "run-reports") if found else None


class TokenReads:
    """What one API process counts, and what all of them counted."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._kept = timedelta(days=settings.audit_event_days)
        self._counts: dict[Key, Counts] = {}
        self._used: dict[tuple[str | None, UUID], datetime] = {}

    def reading(self, caller: Caller, method: str, route: str) -> Reading | None:
        """Return what counts the answer to a request of a service token; None for a person's."""
        if caller.service_token is None:
            begin(None)
            return None
        district_id = None if caller.district == EVERY_DISTRICT else caller.district
        reading = Reading(district_id, caller.service_token, kind_of(method, route))
        begin(reading)
        return reading

    def end(self, reading: Reading, status: int) -> None:
        """Count a request that was answered; one record if nobody counted them."""
        now = utc_now()
        self._used[reading.district_id, reading.token_id] = now
        if reading.kind is None or reading.district_id is None or status >= REFUSED:
            return
        key = Key(reading.district_id, reading.token_id, now.date(), reading.kind)
        self._add(key, Counts(1, 1 if reading.records is None else reading.records))

    def _add(self, key: Key, counts: Counts) -> None:
        known = self._counts.get(key, Counts())
        self._counts[key] = Counts(known.requests + counts.requests, known.records + counts.records)

    async def flush(self) -> None:
        """Add to the database what was counted since the last time; on failure it is kept for the next."""
        counts, self._counts = self._counts, {}
        used, self._used = self._used, {}
        if not used:
            return
        try:
            with everywhere():
                async with self._database.write() as session:
                    connection = await session.connection()
                    for (district_id, token_id), at in sorted(used.items(), key=str):
                        await token_reads.used(connection, district_id, token_id, at)
                    if counts:
                        await token_reads.add(connection, counts)
        except BaseException:
            for key, counted in counts.items():
                self._add(key, counted)
            self._used = used | self._used
            raise

    async def keep_flushing(self) -> None:
        """Flush again and again until cancelled; no failure ends it."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self._try_flush()

    async def close(self) -> None:
        """Flush a last time."""
        try:
            async with asyncio.timeout(LAST_FLUSH_SECONDS):
                await self._try_flush()
        except TimeoutError:
            log.warning("token_reads_lost", reason="the database did not answer")

    async def _try_flush(self) -> None:
        try:
            await self.flush()
        except Exception as error:  # noqa: BLE001 - whatever it is, requests go on and the next flush has all
            log.warning("token_reads_not_flushed", **trace(error))

    async def totals(
        self, district_id: str | None, token_ids: Collection[UUID]
    ) -> dict[UUID, dict[str, Counts]]:
        """Return by token and kind what was read in the last 30 days, as far as it was flushed."""
        if district_id is None or not token_ids:
            return {}
        since = (utc_now() - SHOWN).date()
        async with self._database.read() as session:
            return await token_reads.totals(await session.connection(), district_id, token_ids, since)

    async def forget(self, now: datetime) -> None:
        """Delete counts whose time is over, of all districts."""
        await for_each_district(self._database, partial(self._forget, before=(now - self._kept).date()))

    async def _forget(self, district_id: str, before: date) -> None:
        async with self._database.write() as session:
            await token_reads.forget(await session.connection(), district_id, before)
