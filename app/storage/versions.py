"""Versions of resources and of a district's data."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import District

district = District.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
_THIS = district.c.id == sa.bindparam("this")
# Made once: each takes as long to make as to execute.
_ROSTER_MOVED = sa.update(district).where(_THIS).values(roster_version=district.c.roster_version + 1)
_EDITS_MOVED = sa.update(district).where(_THIS).values(edit_version=district.c.edit_version + 1)
_VERSIONS = sa.select(district.c.roster_version, district.c.edit_version).where(_THIS)


async def next_version(connection: AsyncConnection) -> int:
    """Return a number never given before, for the `version` of all rows that one transaction changes.

    They may share it: nobody can have seen them between two of its changes.
    """
    if connection.dialect.name == "postgresql":
        query = sa.text("SELECT nextval('resource_version')")
    else:
        query = sa.text("UPDATE resource_version SET value = value + 1 RETURNING value")
    return int((await connection.execute(query)).scalar_one())


async def roster_moved(connection: AsyncConnection, district_id: str) -> None:
    """Record that employees changed. Call it last in the transaction: it locks the district's row."""
    await connection.execute(_ROSTER_MOVED, {"this": district_id})


async def edits_moved(connection: AsyncConnection, district_id: str) -> None:
    """Record that certifications or endorsements changed; as `roster_moved`."""
    await connection.execute(_EDITS_MOVED, {"this": district_id})


async def data_versions(connection: AsyncConnection, district_id: str) -> tuple[int, int]:
    """Return the district's (roster_version, edit_version)."""
    roster, edits = (await connection.execute(_VERSIONS, {"this": district_id})).one()
    return int(roster), int(edits)
