"""Queries on districts."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import District


async def find(session: AsyncSession, district_id: str) -> District | None:
    """Return the district, or None."""
    return await session.get(District, district_id)
