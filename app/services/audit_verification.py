"""Verifies the audit trail: every link of a district's chain, and what each says, against what is stored."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database import Database
from app.storage import audit_chain
from app.storage.audit_chain import Head, link_hash
from app.storage.audit_events import payload_digest

CHUNK = 2000
"""Links that are read at a time, each time in a transaction of its own."""
MOST_SHOWN = 100
"""Faults that are told one by one; more are counted."""


class Fault(StrEnum):
    """What can be wrong with a chain."""

    ALTERED = "altered"
    MOVED = "moved"
    EVENT_MISSING = "event missing"
    LINKS_MISSING = "links missing"
    PAYLOAD_ALTERED = "payload altered"
    PAYLOAD_MISSING = "payload missing"
    HEAD_DIFFERS = "head differs"
    START_DIFFERS = "start differs"


@dataclass(frozen=True)
class Break:
    """One fault, at one link; `text` completes a sentence that begins with the link."""

    fault: Fault
    sequence: int
    event_id: UUID | None
    text: str


@dataclass
class Verified:
    """What a verification found of one district.

    `start` is where its chain begins and `head` where it ends; `links` were looked at, of which `redacted`
    have no payload any more, on purpose. `late` are events that were sealed after ones an hour younger.
    """

    district_id: str
    start: Head
    head: Head
    links: int = 0
    redacted: int = 0
    late: int = 0
    unsealed: int = 0
    oldest_unsealed: datetime | None = None
    breaks: list[Break] = field(default_factory=list)
    more_breaks: int = 0

    @property
    def is_intact(self) -> bool:
        """Whether everything is as it was sealed."""
        return not self.breaks

    def add(self, fault: Fault, sequence: int, event_id: UUID | None, text: str) -> None:
        """Note a fault."""
        if len(self.breaks) < MOST_SHOWN:
            self.breaks.append(Break(fault, sequence, event_id, text))
        else:
            self.more_breaks += 1


class AuditVerification:
    """Verifies one district after the other, while others write; its memory does not grow with the chain."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self, district_id: str, noted: Head | None = None) -> Verified:
        """Return what is wrong with a district's chain, if anything is.

        `noted` is a head that was seen before, in a log for example: it must still be a link of the chain.
        """
        walk = _Walk(district_id, noted)
        async with self._database.read() as session:
            connection = await session.connection()
            await self._begin(connection, walk, await audit_chain.anchor_of(connection, district_id))
        while found := await self._chunk(walk):
            for link in found:
                walk.step(link)
        result = walk.end()
        async with self._database.read() as session:
            connection = await session.connection()
            number, oldest = await audit_chain.count_unsealed(connection, district_id)
        result.unsealed, result.oldest_unsealed = number, oldest
        return result

    async def _chunk(self, walk: "_Walk") -> list[sa.Row[Any]]:
        async with self._database.read() as session:
            connection = await session.connection()
            found = await self._links(connection, walk, CHUNK)
            if found and found[0].sequence == walk.last.sequence + 1:
                return found
            anchor = await audit_chain.anchor_of(connection, walk.result.district_id)
            if anchor.sequence <= walk.last.sequence:
                return found
            await self._begin(connection, walk, anchor)  # retention went by meanwhile
        return [link for link in found if link.sequence > anchor.sequence] or await self._chunk(walk)

    async def _begin(self, connection: AsyncConnection, walk: "_Walk", start: Head) -> None:
        walk.begin(start, is_told=await audit_chain.is_told(connection, walk.result.district_id, start))

    async def _links(self, connection: AsyncConnection, walk: "_Walk", limit: int) -> list[sa.Row[Any]]:
        """Return the next links; what is no event any more that can be read is noted and passed over."""
        district_id = walk.result.district_id
        while True:
            last = walk.last.sequence
            try:
                return list(await audit_chain.links(connection, district_id, last, limit))
            except ValueError:  # SQLite stores any text as a time or an id
                if limit > 1:
                    limit = 1
                    continue
            walk.pass_over(await audit_chain.bare_link(connection, district_id, last))


class _Walk:
    """Goes along a chain, link by link."""

    def __init__(self, district_id: str, noted: Head | None) -> None:
        origin = Head(0, audit_chain.ORIGIN)
        self.result = Verified(district_id, origin, origin)
        self.last = origin
        self._noted = noted
        self._newest: datetime | None = None
        self._redacted: Counter[UUID] = Counter()
        self._suspects: list[tuple[int, str, str, Any]] = []

    def begin(self, start: Head, *, is_told: bool) -> None:
        """Go on after the last link that retention deleted; an event of retention tells of it, or should."""
        self.last = self.result.start = self.result.head = start
        if not is_told:
            text = (
                "and all before it are gone, but no event of retention tells of it: the beginning was cut off"
            )
            self.result.add(Fault.START_DIFFERS, start.sequence, None, text)
        self.compare_noted(start)

    def step(self, link: Any) -> None:
        """Look at the next link that there is."""
        result = self.result
        if link.sequence != self.last.sequence + 1:
            first, gone = self.last.sequence + 1, link.sequence - 1
            result.add(Fault.LINKS_MISSING, first, None, f"to {gone} are gone")
        elif link.id is None:
            result.add(Fault.EVENT_MISSING, link.sequence, link.event_id, "has lost its event")
        elif link_hash(result.district_id, self.last.hash, link.sequence, link) != link.hash:
            self._suspect(link)
        if link.id is not None:
            self._look_at_payload(link)
            if self._newest is not None and link.at < self._newest - audit_chain.STRAGGLING:
                result.late += 1
            self._newest = max(self._newest or link.at, link.at)
        result.links += 1
        self.last = result.head = Head(link.sequence, link.hash)
        self.compare_noted(self.last)

    def pass_over(self, link: Any) -> None:
        """Note a link whose event cannot be read."""
        text = "cannot be read: a column of its event holds what it never was"
        self.result.add(Fault.ALTERED, link.sequence, None, text)
        self.result.links += 1
        self.last = self.result.head = Head(link.sequence, link.hash)
        self.compare_noted(self.last)

    def _suspect(self, link: Any) -> None:
        if len(self._suspects) < MOST_SHOWN:
            self._suspects.append((link.sequence, self.last.hash, link.hash, link))
        else:
            self.result.more_breaks += 1

    def _look_at_payload(self, link: Any) -> None:
        if link.payload_of is None:
            if self._is_told_of(link):
                self.result.redacted += 1
                return
            text = "has lost what its event says, and no redaction tells of it"
            self.result.add(Fault.PAYLOAD_MISSING, link.sequence, link.event_id, text)
        elif (
            payload_digest(link.record_id, link.employee_number, link.salt, link.content)
            != link.payload_digest
        ):
            text = "says something else of its record than when it was written"
            self.result.add(Fault.PAYLOAD_ALTERED, link.sequence, link.event_id, text)

    def _is_told_of(self, link: Any) -> bool:
        """Tell whether an event tells of the redaction, and of as many as there are."""
        if link.redaction is None:
            return False
        self._redacted[link.redacted_by] += 1
        try:
            return bool(self._redacted[link.redacted_by] <= json.loads(link.redaction)["after"]["events"])
        except (ValueError, KeyError, TypeError):  # it was altered, which its own link tells
            return False

    def compare_noted(self, head: Head) -> None:
        """Compare with the head that was noted, when this is the link of its number."""
        if self._noted is None or self._noted.sequence != head.sequence:
            return
        if self._noted.hash != head.hash:
            text = "is another one than was noted: the chain was made anew"
            self.result.add(Fault.HEAD_DIFFERS, head.sequence, None, text)
        self._noted = None

    def end(self) -> Verified:
        """Return what was found, altered links told from those that stand in each other's place."""
        result = self.result
        for sequence, before, stored, link in self._suspects:
            own = next(
                (
                    other
                    for other, _, _, found in self._suspects
                    if link_hash(result.district_id, before, sequence, found) == stored
                ),
                None,
            )
            if own is None:
                text = "is not what was sealed: its event was altered, or another was put in its place"
                result.add(Fault.ALTERED, sequence, link.event_id, text)
            else:
                text = f"has the event of another place; its own stands at link {own}"
                result.add(Fault.MOVED, sequence, link.event_id, text)
        if self._noted is not None:
            self._miss_noted(self._noted)
        result.breaks.sort(key=lambda each: each.sequence)
        return result

    def _miss_noted(self, noted: Head) -> None:
        if noted.sequence > self.last.sequence:
            text = f"was noted, but the chain ends at {self.last.sequence}: its end was cut off"
        else:
            text = f"was noted, but the chain begins after {self.result.start.sequence}: compare a later head"
        self.result.add(Fault.HEAD_DIFFERS, noted.sequence, None, text)
