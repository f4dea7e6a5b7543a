"""Queries on districts."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import District

district = District.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
# Made once: every write begins with it.
_LOCK = sa.select(district.c.id).where(district.c.id == sa.bindparam("this")).with_for_update(key_share=True)


async def find(session: AsyncSession, district_id: str) -> District | None:
    """Return the district, or None."""
    return await session.get(District, district_id)


async def lock(session: AsyncSession, district_id: str) -> bool:
    """Keep others who lock the district out until the transaction ends; False when there is none."""
    found = await (await session.connection()).execute(_LOCK, {"this": district_id})
    return found.one_or_none() is not None


async def set_layout(session: AsyncSession, district_id: str, toml: str | None) -> None:
    """Store the layout that the district's files are read by."""
    await session.exec(update(District).where(col(District.id) == district_id).values(layout=toml))


async def pause(session: AsyncSession, district_id: str, since: datetime | None) -> None:
    """Let the district's schedule rest, or with None go on."""
    await session.exec(update(District).where(col(District.id) == district_id).values(paused_since=since))


async def is_paused(session: AsyncSession, district_id: str) -> bool:
    """Tell whether the district's schedule rests."""
    query = select(District.id).where(District.id == district_id, col(District.paused_since).is_not(None))
    return (await session.exec(query)).one_or_none() is not None


async def all_ids(connection: AsyncConnection) -> list[str]:
    """Return the id of every district, for what goes through all of them one by one."""
    return list((await connection.execute(sa.select(district.c.id).order_by("id"))).scalars())


async def all_districts(session: AsyncSession) -> list[District]:
    """Return every district by id."""
    return list((await session.exec(select(District).order_by(col(District.id)))).all())
