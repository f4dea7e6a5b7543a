"""The chain that seals a district's audit events, link by link; one sealer of a district at a time.

Its beginning is the anchor: link 0 with `ORIGIN`, or where retention stopped.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import AuditAction, AuditRecord
from app.models import AuditAnchor, AuditRedaction
from app.models.base import utc_now
from app.storage.audit_events import Change, event, payload, record, seal

anchor = AuditAnchor.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
redaction = AuditRedaction.__table__  # type: ignore[attr-defined] # as above

FORM = "certsync-audit-1"
"""Says how a link's hash is made, in the hash itself."""
ORIGIN = "0" * 64
STRAGGLING = timedelta(hours=1)
"""How much older than the last sealed event one may be that is found at once: transactions end within
minutes, so this is for clocks that differ. A full look finds any."""
COVERED = ("id", "at", "actor", "token_id", "interface", "address", "request_id", "run_id", "action")
"""Columns of an event that its link covers as they are; the rest of it are arguments of `link_hash`."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Head:
    """A link of a chain, as it is noted elsewhere."""

    sequence: int
    hash: str


def link_hash(district_id: str, before: str, sequence: int, found: Any) -> str:
    """Return the hash of a link: of the event `found`, its number, and the hash of the link before it.

    SHA-256 over a JSON array, which two different links cannot share.
    """
    said = [_text(getattr(found, name)) for name in COVERED]
    text = json.dumps(
        [FORM, district_id, before, sequence, *said, found.record_type, found.payload_digest],
        separators=(",", ":"),
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return None if value is None else str(value)


LOCK = "hashtextextended('certsync/audit/' || :district, 0)"


async def only_one(connection: AsyncConnection, district_id: str) -> bool:
    """Be the only one who writes the district's chain until the transaction ends; False if another is.

    On SQLite BEGIN IMMEDIATE has already done it.
    """
    if connection.dialect.name == "sqlite":
        return True
    query = sa.text(f"SELECT pg_try_advisory_xact_lock({LOCK})")
    return bool((await connection.execute(query, {"district": district_id})).scalar_one())


async def be_only_one(connection: AsyncConnection, district_id: str) -> None:
    """Wait until we are the one that `only_one` lets through; those wait for nobody who holds it.

    Raises OperationalError when others go on for too long.
    """
    if connection.dialect.name != "sqlite":
        query = sa.text(f"SELECT pg_advisory_xact_lock({LOCK})")
        await connection.execute(query, {"district": district_id})


async def anchor_of(connection: AsyncConnection, district_id: str) -> Head:
    """Return where the district's chain begins."""
    query = sa.select(anchor.c.sequence, anchor.c.hash).where(anchor.c.district_id == district_id)
    found = (await connection.execute(query)).one_or_none()
    return Head(found.sequence, found.hash) if found else Head(0, ORIGIN)


async def head_of(connection: AsyncConnection, district_id: str) -> tuple[Head, datetime | None]:
    """Return the last link, and when its event was; None where there is no link, or that cannot be read."""
    query = (
        sa.select(seal.c.sequence, seal.c.hash, event.c.at)
        .outerjoin(event, sa.and_(event.c.id == seal.c.event_id, event.c.district_id == district_id))
        .where(seal.c.district_id == district_id)
        .order_by(seal.c.sequence.desc())
        .limit(1)
    )
    try:
        found = (await connection.execute(query)).one_or_none()
    except ValueError:  # SQLite stores any text as a time
        bare = query.with_only_columns(seal.c.sequence, seal.c.hash, maintain_column_froms=True)
        return Head(*(await connection.execute(bare)).one()), None
    if found is None:
        return await anchor_of(connection, district_id), None
    return Head(found.sequence, found.hash), found.at


async def unsealed(
    connection: AsyncConnection, district_id: str, since: datetime | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Return events without a link, the oldest first; with `since`, none that is older.

    What counts is that there is no link, not when the event was: transactions do not commit in the order of
    their events. Those that somebody made unreadable are passed over.
    """
    query = _unsealed(district_id, event)
    if since is not None:
        query = query.where(event.c.at >= since)
    query = query.order_by(event.c.at, event.c.id).limit(limit)
    try:
        return (await connection.execute(query)).all()
    except ValueError:  # SQLite stores any text as a time or an id
        return await _readable(connection, district_id, query)


async def _readable(connection: AsyncConnection, district_id: str, query: Any) -> list[sa.Row[Any]]:
    """Return those rows of a query of SQLite's events that can be read."""
    number, found = sa.literal_column("audit_event.rowid", sa.Integer), []
    rows = await connection.execute(query.with_only_columns(number, maintain_column_froms=True))
    for row in rows.scalars().all():
        try:
            found.append((await connection.execute(sa.select(event).where(number == row))).one())
        except ValueError:
            log.warning("audit_event_unreadable", district=district_id, row=row)
    return found


async def sealed_of(connection: AsyncConnection, district_id: str, ids: Sequence[UUID]) -> set[UUID]:
    """Return which of these events have a link."""
    query = sa.select(seal.c.event_id).where(seal.c.district_id == district_id, seal.c.event_id.in_(ids))
    return set((await connection.execute(query)).scalars())


async def count_unsealed(connection: AsyncConnection, district_id: str) -> tuple[int, datetime | None]:
    """Return how many events have no link, and the time of the oldest."""
    query = _unsealed(district_id, sa.func.count().label("number"), sa.func.min(event.c.at).label("oldest"))
    found = (await connection.execute(query)).one()
    return found.number, found.oldest


def _unsealed(district_id: str, *columns: Any) -> Any:
    linked = sa.exists().where(seal.c.district_id == district_id, seal.c.event_id == event.c.id)
    return sa.select(*columns).select_from(event).where(event.c.district_id == district_id, ~linked)


async def append(
    connection: AsyncConnection, district_id: str, head: Head, events: Sequence[sa.Row[Any]]
) -> Head:
    """Add a link for each event after `head`, and return the new one.

    Raises IntegrityError when somebody else did; then the transaction is lost.
    """
    links = []
    for found in events:
        sequence = head.sequence + 1
        head = Head(sequence, link_hash(district_id, head.hash, sequence, found))
        links.append(
            {"district_id": district_id, "sequence": sequence, "event_id": found.id, "hash": head.hash}
        )
    await connection.execute(sa.insert(seal), links)
    return head


async def forget(connection: AsyncConnection, district_id: str, before: datetime, limit: int) -> int:
    """Delete the first links whose events are older, with these; return how many there were.

    The anchor goes first: the triggers let nothing be deleted that it has not passed. An event tells of it.
    What a host whose clock was ahead dated later than now goes with what was sealed after it.
    """
    now = utc_now()
    start = await anchor_of(connection, district_id)
    query = (
        sa.select(seal.c.sequence, seal.c.hash, event.c.at)
        .outerjoin(event, sa.and_(event.c.id == seal.c.event_id, event.c.district_id == district_id))
        .where(seal.c.district_id == district_id, seal.c.sequence > start.sequence)
        .order_by(seal.c.sequence)
        .limit(limit)
    )
    last: Head | None = None
    for found in (await connection.execute(query)).all():
        if found.at is None or before <= found.at <= now:
            break
        if found.at < before:
            last = Head(found.sequence, found.hash)
    if last is None:
        return 0
    place = {"sequence": last.sequence, "hash": last.hash}
    moved = sa.update(anchor).where(anchor.c.district_id == district_id).values(place)
    if (await connection.execute(moved)).rowcount == 0:
        await connection.execute(sa.insert(anchor).values(district_id=district_id, **place))
    passed = sa.and_(seal.c.district_id == district_id, seal.c.sequence <= last.sequence)
    gone = sa.select(seal.c.event_id).where(passed)
    for table, key in ((redaction, "event_id"), (payload, "event_id"), (event, "id")):
        await connection.execute(
            sa.delete(table).where(table.c.district_id == district_id, table.c[key].in_(gone))
        )
    await connection.execute(sa.delete(seal).where(passed))
    number = last.sequence - start.sequence
    after = {"events": number, "last_sequence": last.sequence, "last_hash": last.hash}
    await record(
        connection, district_id, Change(AuditAction.FORGOTTEN, AuditRecord.AUDIT_EVENTS, None, None, after)
    )
    return number


async def is_told(connection: AsyncConnection, district_id: str, start: Head) -> bool:
    """Tell whether an event tells that the chain was cut off at `start`, as `forget` writes one each time.

    The newest is that of the last cut, so the first look nearly always finds it.
    """
    if start == Head(0, ORIGIN):
        return True
    query = (
        sa.select(payload.c.content)
        .join(event, sa.and_(event.c.id == payload.c.event_id, event.c.district_id == district_id))
        .where(payload.c.district_id == district_id, event.c.action == AuditAction.FORGOTTEN.value)
        .order_by(event.c.at.desc(), event.c.id.desc())
    )
    for content in (await connection.execute(query)).scalars():
        try:
            after = json.loads(content)["after"]
            if Head(after["last_sequence"], after["last_hash"]) == start:
                return True
        except (ValueError, KeyError, TypeError):  # it was altered, which its own link tells
            continue
    return False


async def links(connection: AsyncConnection, district_id: str, after: int, limit: int) -> Sequence[Any]:
    """Return links after one of that number, each with all that is there of its event, to verify them.

    `redacted_by` is the event that tells of the redaction, with its content as `redaction`; null when there
    is none, or it is no such event, or an earlier one.
    """
    told, telling = event.alias(), payload.alias()
    query = (
        sa.select(
            seal.c.sequence,
            seal.c.hash,
            seal.c.event_id,
            *event.c,
            payload.c.event_id.label("payload_of"),
            payload.c.record_id,
            payload.c.employee_number,
            payload.c.salt,
            payload.c.content,
            told.c.id.label("redacted_by"),
            telling.c.content.label("redaction"),
        )
        .select_from(seal)
        .outerjoin(event, sa.and_(event.c.id == seal.c.event_id, event.c.district_id == district_id))
        .outerjoin(payload, sa.and_(payload.c.event_id == event.c.id, payload.c.district_id == district_id))
        .outerjoin(
            redaction, sa.and_(redaction.c.event_id == event.c.id, redaction.c.district_id == district_id)
        )
        .outerjoin(
            told,
            sa.and_(
                told.c.id == redaction.c.redaction_id,
                told.c.district_id == district_id,
                told.c.action == AuditAction.REDACTED.value,
                told.c.at > event.c.at,
            ),
        )
        .outerjoin(telling, sa.and_(telling.c.event_id == told.c.id, telling.c.district_id == district_id))
        .where(seal.c.district_id == district_id, seal.c.sequence > after)
        .order_by(seal.c.sequence)
        .limit(limit)
    )
    return (await connection.execute(query)).all()


async def bare_link(connection: AsyncConnection, district_id: str, after: int) -> Any:
    """Return number and hash of the next link alone, for when its event cannot be read."""
    query = (
        sa.select(seal.c.sequence, seal.c.hash)
        .where(seal.c.district_id == district_id, seal.c.sequence > after)
        .order_by(seal.c.sequence)
        .limit(1)
    )
    return (await connection.execute(query)).one()
