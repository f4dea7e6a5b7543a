"""What PostgreSQL's planner knows of the tables that an import joins.

Autovacuum looks once a minute; a roster that was loaded a moment ago, or a first import, would be joined by
nested loops until then.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

TABLES = ("employee", "certification", "endorsement")


async def know_tables(connection: AsyncConnection) -> None:
    """Collect statistics of those tables that have none yet; on SQLite there is nothing to do."""
    if connection.dialect.name != "postgresql":
        return
    query = sa.text(
        "SELECT relname FROM pg_class WHERE relname = ANY(:tables) AND reltuples < 0 "
        "AND relnamespace = current_schema()::regnamespace"
    )
    unknown = (await connection.execute(query, {"tables": list(TABLES)})).scalars().all()
    await _analyze(connection, *unknown)


async def learn_records(connection: AsyncConnection) -> None:
    """Collect statistics of the records anew, after an import that changed many of them."""
    if connection.dialect.name == "postgresql":
        await _analyze(connection, "certification", "endorsement")


async def _analyze(connection: AsyncConnection, *tables: str) -> None:
    for table in tables:
        await connection.execute(sa.text(f"ANALYZE {table}"))
