"""Records who did what to which record, in the transaction that does it, and lists it."""

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.audit_source import Source, current
from app.constants import AuditAction, AuditRecord
from app.models import AuditEvent, AuditPayload, AuditSeal
from app.models.audit import time_ordered_id
from app.models.base import utc_now
from app.storage import districts
from app.storage.filters import Filter, any_of, between, exact, named
from app.storage.many_rows import as_plain, insert_rows
from app.storage.pages import OF_DISTRICT, Listing, Page, PageRequest, fetch_page

event = AuditEvent.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
payload = AuditPayload.__table__  # type: ignore[attr-defined] # as above
seal = AuditSeal.__table__  # type: ignore[attr-defined] # as above

about = payload.alias()


def _about(name: str) -> Filter:
    """Match events whose payload has this very value, found by its index: few of many."""
    return Filter(lambda value: event.c.id.in_(sa.select(about.c.event_id).where(about.c[name] == value)))


_ROWS = (
    sa.select(
        *event.c,
        payload.c.record_id,
        payload.c.employee_number,
        payload.c.content,
        seal.c.sequence,
        seal.c.hash,
    )
    .select_from(event)
    .outerjoin(payload, sa.and_(payload.c.event_id == event.c.id, payload.c.district_id == OF_DISTRICT))
    .outerjoin(seal, sa.and_(seal.c.event_id == event.c.id, seal.c.district_id == OF_DISTRICT))
    .where(event.c.district_id == OF_DISTRICT)
)
SALT_BYTES = 16
_ENCODER = json.JSONEncoder(default=as_plain, separators=(",", ":"))
LISTING = Listing(
    name="audit-events",
    rows=_ROWS,
    key=(event.c.id,),
    default="-at",
    sortable=named(event.c.at),
    filters={
        **exact(event.c.actor, event.c.token_id, event.c.run_id, event.c.request_id),
        **{name: _about(name) for name in ("record_id", "employee_number")},
        **any_of(event.c.action, event.c.interface, event.c.record_type),
        **between(at=event.c.at),
    },
    searched=(event.c.actor, event.c.action, event.c.record_type, event.c.interface, payload.c.record_id),
)


@dataclass(frozen=True)
class Change:
    """One thing that was done to one record; `before` and `after` are None where there is none.

    `employee_number` is whom the record is about: with it all that the trail says of a person is found.
    """

    action: AuditAction
    record_type: AuditRecord
    record_id: str | UUID | None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    employee_number: str | None = None


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of `after` differs from `before`, as it was and as it is."""
    changed = [name for name, value in after.items() if before[name] != value]
    return {name: before[name] for name in changed}, {name: after[name] for name in changed}


async def record(
    connection: AsyncConnection,
    district_id: str,
    *changes: Change,
    source: Source | None = None,
    at: datetime | None = None,
) -> list[UUID]:
    """Add an event for each change, and return their ids; `source` is the caller's unless it is given."""
    if not changes:
        return []
    source, at = source or current(), at or utc_now()
    common = {
        "district_id": district_id,
        "at": at,
        "actor": source.actor,
        "token_id": source.token_id,
        "interface": source.interface.value,
        "address": source.address,
        "request_id": source.request_id,
        "run_id": source.run_id,
    }
    ids = sorted(
        (time_ordered_id() for _ in changes), key=attrgetter("int")
    )  # events of one moment stay in their order
    events, payloads = [], []
    for event_id, change, salt in zip(ids, changes, _salts(len(changes)), strict=True):
        said_of = _payload(change, salt)
        said = {
            **common,
            "id": event_id,
            "action": change.action.value,
            "record_type": change.record_type.value,
            "payload_digest": payload_digest(**said_of),
        }
        events.append(said)
        payloads.append({"event_id": event_id, "district_id": district_id, **said_of})
    await insert_rows(connection, event, events)
    await insert_rows(connection, payload, payloads)
    return ids


async def record_everywhere(connection: AsyncConnection, change: Change) -> None:
    """Add an event of what concerns the whole deployment to the trail of every district."""
    for district_id in await districts.all_ids(connection):
        await record(connection, district_id, change)


def _salts(number: int) -> Iterator[str]:
    """Yield so many salts; the system is asked for its random bytes once."""
    length = 2 * SALT_BYTES
    digits = secrets.token_hex(SALT_BYTES * number)
    return (digits[start : start + length] for start in range(0, number * length, length))


def _payload(change: Change, salt: str) -> dict[str, Any]:
    content = _ENCODER.encode({"before": change.before, "after": change.after})
    return {
        "record_id": None if change.record_id is None else str(change.record_id),
        "employee_number": change.employee_number,
        "salt": salt,
        "content": content,
    }


def payload_digest(record_id: str | None, employee_number: str | None, salt: str, content: str) -> str:
    """Return what an event holds of its payload; by the salt, nobody finds by trying what was deleted."""
    text = json.dumps([salt, record_id, employee_number, content])
    return hashlib.sha256(text.encode()).hexdigest()


async def page(connection: AsyncConnection, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
    """Return a page of a district's events, each with its payload if that is there, and its link."""
    return await fetch_page(connection, LISTING, district_id, request)
