"""What service tokens read of personal data, by day, and when they were used."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import ServiceTokenRead
from app.storage.service_tokens import token
from app.storage.upsert import upserting

read = ServiceTokenRead.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


class Key(NamedTuple):
    """What is counted together."""

    district_id: str
    token_id: UUID
    day: date
    kind: str


class Counts(NamedTuple):
    """Requests, and records in their answers."""

    requests: int = 0
    records: int = 0


async def add(connection: AsyncConnection, counts: Mapping[Key, Counts]) -> None:
    """Add to what is counted already; several processes may do so at once."""
    statement = upserting(connection, read)
    statement = statement.on_conflict_do_update(
        index_elements=list(read.primary_key),
        set_={
            "requests": read.c.requests + statement.excluded.requests,
            "records": read.c.records + statement.excluded.records,
        },
    )
    # In one order for all, so that no two wait for each other.
    rows = [{**key._asdict(), **counts[key]._asdict()} for key in sorted(counts, key=str)]
    await connection.execute(statement, rows)


async def used(connection: AsyncConnection, district_id: str | None, token_id: UUID, at: datetime) -> None:
    """Note that a token was used then, unless a later use is noted already."""
    earlier = sa.or_(token.c.last_used_at.is_(None), token.c.last_used_at < at)
    await connection.execute(
        sa.update(token)
        .where(token.c.district_id == district_id, token.c.id == token_id, earlier)
        .values(last_used_at=at)
    )


async def totals(
    connection: AsyncConnection, district_id: str, token_ids: Collection[UUID], since: date
) -> dict[UUID, dict[str, Counts]]:
    """Return by token and kind what was read from that day on."""
    query = (
        sa.select(
            read.c.token_id,
            read.c.kind,
            sa.func.sum(read.c.requests).label("requests"),
            sa.func.sum(read.c.records).label("records"),
        )
        .where(read.c.district_id == district_id, read.c.token_id.in_(token_ids), read.c.day >= since)
        .group_by(read.c.token_id, read.c.kind)
        .order_by(read.c.kind)
    )
    found: dict[UUID, dict[str, Counts]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.token_id, {})[row.kind] = Counts(int(row.requests), int(row.records))
    return found


async def forget(connection: AsyncConnection, district_id: str, before: date) -> None:
    """Delete a district's counts of days before that one."""
    await connection.execute(sa.delete(read).where(read.c.district_id == district_id, read.c.day < before))
