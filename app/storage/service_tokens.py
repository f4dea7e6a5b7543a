"""Queries on service tokens."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import ServiceToken
from app.storage.filters import between, containing, exact, named
from app.storage.pages import OF_DISTRICT, Listing, Page, PageRequest, fetch_page

token = ServiceToken.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

LISTING = Listing(
    name="service-tokens",
    rows=sa.select(token).where(token.c.district_id == OF_DISTRICT),
    key=(token.c.id,),
    default="-created_at",
    sortable=named(token.c.name, token.c.created_by, token.c.created_at, token.c.expires_at),
    filters={
        **exact(token.c.created_by),
        **containing(token.c.name),
        **between(created=token.c.created_at, expires=token.c.expires_at),
    },
    searched=(token.c.name, token.c.created_by),
)


async def page(connection: AsyncConnection, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
    """Return a page of the district's tokens, revoked and expired ones too."""
    return await fetch_page(connection, LISTING, district_id, request)


async def find(session: AsyncSession, district_id: str | None, token_id: UUID) -> ServiceToken | None:
    """Return the token of the district, or of the deployment when that is None."""
    query: Any = sa.select(ServiceToken).where(token.c.district_id == district_id, token.c.id == token_id)
    found: ServiceToken | None = (await session.exec(query)).scalar_one_or_none()
    return found


async def all_tokens(session: AsyncSession, district_id: str | None) -> list[ServiceToken]:
    """Return every token of the district, or of the deployment, the newest first."""
    query: Any = sa.select(ServiceToken).where(token.c.district_id == district_id)
    query = query.order_by(token.c.created_at.desc(), token.c.id)
    return list((await session.exec(query)).scalars())


async def revoke(
    session: AsyncSession, district_id: str | None, token_id: UUID, user: str, now: datetime
) -> bool:
    """End a token that is not revoked yet; False when there was nothing to end."""
    ended = sa.update(token).where(
        token.c.district_id == district_id, token.c.id == token_id, token.c.revoked_at.is_(None)
    )
    result = await session.exec(ended.values(revoked_by=user, revoked_at=now))
    return bool(result.rowcount)
