"""Queries on the keys of POST requests that take effect once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import IdempotencyKey
from app.storage.upsert import upserting

key = IdempotencyKey.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


@dataclass(frozen=True)
class KeyedRequest:
    """A request that came with a key, which is its sender's own; `hash` is of method, path and body."""

    district_id: str
    caller: str
    key: str
    hash: str


async def claim(
    connection: AsyncConnection, request: KeyedRequest, now: datetime, forgotten_before: datetime
) -> bool:
    """Take the key for this request; False when it was taken since `forgotten_before`.

    A twin of the request that is still in its transaction is waited for: if it is rolled back, the key is
    free. The answer is still to be given by `keep`.
    """
    fresh = {"request_hash": request.hash, "status": 0, "headers": {}, "body": {}, "created_at": now}
    statement = (
        upserting(connection, key)
        .values(district_id=request.district_id, caller=request.caller, key=request.key, **fresh)
        .on_conflict_do_update(
            index_elements=[key.c.district_id, key.c.caller, key.c.key],
            set_=fresh,
            where=key.c.created_at < forgotten_before,
        )
        .returning(key.c.key)
    )
    return (await connection.execute(statement)).first() is not None


async def keep(
    connection: AsyncConnection,
    request: KeyedRequest,
    status: int,
    headers: dict[str, str],
    body: dict[str, Any],
) -> None:
    """Store what the request was answered."""
    await connection.execute(
        sa.update(key).where(_is(request)).values(status=status, headers=headers, body=body)
    )


async def find(
    connection: AsyncConnection, request: KeyedRequest, forgotten_before: datetime
) -> IdempotencyKey | None:
    """Return what the key was taken for, if that was not before `forgotten_before`."""
    query = sa.select(key).where(_is(request), key.c.created_at >= forgotten_before)
    row = (await connection.execute(query)).mappings().one_or_none()
    return IdempotencyKey(**row) if row else None


async def forget(connection: AsyncConnection, before: datetime) -> None:
    """Delete keys of all districts that were taken before this; for the sweep."""
    await connection.execute(sa.delete(key).where(key.c.created_at < before))


def _is(request: KeyedRequest) -> sa.ColumnElement[bool]:
    return sa.and_(
        key.c.district_id == request.district_id,
        key.c.caller == request.caller,
        key.c.key == request.key,
    )
