"""Versions of resources and of a district's data."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import District


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
    await connection.execute(
        sa.update(District)
        .where(District.id == district_id)  # type: ignore[arg-type] # SQLModel types columns as values
        .values(roster_version=District.roster_version + 1)
    )


async def edits_moved(connection: AsyncConnection, district_id: str) -> None:
    """Record that certifications or endorsements changed; as `roster_moved`."""
    await connection.execute(
        sa.update(District)
        .where(District.id == district_id)  # type: ignore[arg-type] # same
        .values(edit_version=District.edit_version + 1)
    )


async def data_versions(connection: AsyncConnection, district_id: str) -> tuple[int, int]:
    """Return the district's (roster_version, edit_version)."""
    query = sa.select(District.roster_version, District.edit_version).where(District.id == district_id)  # type: ignore[call-overload]
    roster, edits = (await connection.execute(query)).one()
    return int(roster), int(edits)
