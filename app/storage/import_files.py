"""Rows of the files in the download folder (I2)."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import FileState
from app.models import ImportFile
from app.storage.filters import between, containing, exact, named
from app.storage.pages import Listing, Page, PageRequest, fetch_page

import_file = ImportFile.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

LISTING = Listing(
    name="import-files",
    key=(import_file.c.fetched_at, import_file.c.id),
    default="-datestamp",
    sortable=named(import_file.c.name, import_file.c.datestamp, import_file.c.size, import_file.c.fetched_at),
    filters={
        **exact(import_file.c.state, import_file.c.sha256, import_file.c.run_id),
        **containing(import_file.c.name),
        **between(fetched=import_file.c.fetched_at),
    },
    searched=(import_file.c.name, import_file.c.datestamp, import_file.c.sha256),
)
_NEWEST_FIRST = (import_file.c.datestamp.desc(), import_file.c.fetched_at.desc(), import_file.c.id)


async def keep(connection: AsyncConnection, values: dict[str, Any]) -> str | None:
    """Store a file's row; the same file in the same state again moves its time of fetching.

    `values` are the columns of ImportFile. Returns the `stored_as` of an older copy of the same bytes,
    which nothing points to any more.
    """
    same = sa.and_(
        *(import_file.c[name] == values[name] for name in ("district_id", "name", "sha256", "state"))
    )
    older = (await connection.execute(sa.select(import_file.c.stored_as).where(same))).scalar_one_or_none()
    if older is None:
        await connection.execute(sa.insert(import_file).values(**values))
        return None
    moved = {name: values[name] for name in ("stored_as", "fetched_at", "run_id", "datestamp")}
    await connection.execute(sa.update(import_file).where(same).values(**moved))
    return str(older) if older != values["stored_as"] else None


async def page(session: AsyncSession, district_id: str, request: PageRequest) -> Page[ImportFile]:
    """Return a page of files, the one to fall back on first."""
    query = sa.select(ImportFile).where(import_file.c.district_id == district_id)
    return await fetch_page(session, query, LISTING, request)


async def retained(connection: AsyncConnection, district_id: str) -> list[ImportFile]:
    """Return the files to fall back on, the newest first."""
    return await _of(connection, district_id, FileState.RETAINED)


async def surplus(
    connection: AsyncConnection, district_id: str, retained: int, quarantined_before: datetime
) -> list[ImportFile]:
    """Return the files beyond the newest `retained`, and of refused ones kept long enough."""
    old = (await _of(connection, district_id, FileState.RETAINED))[retained:]
    aside = await _of(connection, district_id, FileState.QUARANTINED)
    return old + [file for file in aside if file.fetched_at < quarantined_before]


async def remove(connection: AsyncConnection, district_id: str, ids: list[UUID]) -> None:
    """Forget files; their bytes go afterwards, when nothing points to them."""
    await connection.execute(
        sa.delete(import_file).where(import_file.c.district_id == district_id, import_file.c.id.in_(ids))
    )


async def stored_names(connection: AsyncConnection, district_id: str) -> set[str]:
    """Return the `stored_as` of every file that a row knows."""
    query = sa.select(import_file.c.stored_as).where(import_file.c.district_id == district_id)
    return set((await connection.execute(query)).scalars())


async def _of(connection: AsyncConnection, district_id: str, state: FileState) -> list[ImportFile]:
    query = (
        sa.select(import_file)
        .where(import_file.c.district_id == district_id, import_file.c.state == state)
        .order_by(*_NEWEST_FIRST)
    )
    return [ImportFile(**row) for row in (await connection.execute(query)).mappings()]
