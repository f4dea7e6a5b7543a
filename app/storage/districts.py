"""Queries on districts."""

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import District


async def find(session: AsyncSession, district_id: str) -> District | None:
    """Return the district, or None."""
    return await session.get(District, district_id)


async def all_districts(session: AsyncSession) -> list[District]:
    """Return every district by id."""
    return list((await session.exec(select(District).order_by(col(District.id)))).all())
