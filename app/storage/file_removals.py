"""Queries on stored files that are to go."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import FileRemoval
from app.storage.upsert import upserting

removal = FileRemoval.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

BATCH = 100
"""Files that are read, and removed, at a time."""


async def promise(connection: AsyncConnection, district_id: str, keys: Iterable[str], due: datetime) -> None:
    """Let files go at `due`, once the transaction is committed; nothing may point to them after it.

    A key is never used again, so that whoever removes a file late removes no other.
    """
    if rows := [{"key": key, "district_id": district_id, "due_at": due} for key in sorted(set(keys))]:
        statement = upserting(connection, removal)
        later = {"due_at": statement.excluded.due_at}
        await connection.execute(
            statement.on_conflict_do_update(index_elements=[removal.c.key], set_=later), rows
        )


async def due(connection: AsyncConnection, district_id: str, now: datetime) -> list[str]:
    """Return the next keys of a district whose files are to be removed."""
    query = sa.select(removal.c.key).where(removal.c.district_id == district_id, removal.c.due_at <= now)
    return list((await connection.execute(query.order_by(removal.c.due_at).limit(BATCH))).scalars())


async def done(connection: AsyncConnection, district_id: str, keys: Iterable[str]) -> None:
    """Forget files that are gone."""
    await connection.execute(
        sa.delete(removal).where(removal.c.district_id == district_id, removal.c.key.in_(list(keys)))
    )
