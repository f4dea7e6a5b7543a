"""Rows of the files in the download folder (I2)."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FileState
from app.models import ImportFile
from app.storage.filters import between, containing, exact, named
from app.storage.pages import OF_DISTRICT, Listing, Page, PageRequest, fetch_page
from app.storage.upsert import upserting

import_file = ImportFile.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

LISTING = Listing(
    name="import-files",
    rows=sa.select(import_file).where(import_file.c.district_id == OF_DISTRICT),
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
IDENTITY = ("district_id", "name", "sha256", "state")
"""What makes two fetched files the same."""
_NEWEST_FIRST = (import_file.c.datestamp.desc(), import_file.c.fetched_at.desc(), import_file.c.id)


async def copy_of(connection: AsyncConnection, values: dict[str, Any]) -> str | None:
    """Return the `stored_as` of a copy of the same file in the same state that is kept already."""
    same = (import_file.c[name] == values[name] for name in IDENTITY)
    return (await connection.execute(sa.select(import_file.c.stored_as).where(*same))).scalar_one_or_none()


def keeping(connection: AsyncConnection, values: dict[str, Any]) -> sa.Executable:
    """Return the statement that stores a file's row; `values` are the columns of ImportFile.

    The same file in the same state again takes the place of its copy (`copy_of`), to which nothing points
    afterwards.
    """
    moved = {name: values[name] for name in ("stored_as", "fetched_at", "run_id", "datestamp")}
    statement: sa.Executable = (
        upserting(connection, import_file)
        .values(**values)
        .on_conflict_do_update(index_elements=list(IDENTITY), set_=moved)
    )
    return statement


async def page(connection: AsyncConnection, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
    """Return a page of files, the one to fall back on first."""
    return await fetch_page(connection, LISTING, district_id, request)


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


async def known(connection: AsyncConnection, district_id: str) -> list[ImportFile]:
    """Return every row of the district."""
    return await _of(connection, district_id, *FileState)


async def _of(connection: AsyncConnection, district_id: str, *states: FileState) -> list[ImportFile]:
    query = (
        sa.select(import_file)
        .where(import_file.c.district_id == district_id, import_file.c.state.in_(states))
        .order_by(*_NEWEST_FIRST)
    )
    return [ImportFile(**row) for row in (await connection.execute(query)).mappings()]
