"""What PostgreSQL's planner knows of the tables that an import joins.

Autovacuum looks once a minute; a roster that was loaded a moment ago, or a first import, would be joined by
nested loops until then.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.reach import is_guarded
from app.row_security import ANALYZE, ANALYZED


async def know_tables(connection: AsyncConnection) -> None:
    """Collect statistics of those tables that have none yet; on SQLite there is nothing to do."""
    if connection.dialect.name != "postgresql":
        return
    query = sa.text(
        "SELECT relname FROM pg_class WHERE relname = ANY(:tables) AND reltuples < 0 "
        "AND relnamespace = current_schema()::regnamespace"
    )
    unknown = (await connection.execute(query, {"tables": list(ANALYZED)})).scalars().all()
    await _analyze(connection, *unknown)


async def learn_records(connection: AsyncConnection) -> None:
    """Collect statistics of the records anew, after an import that changed many of them."""
    if connection.dialect.name == "postgresql":
        await _analyze(connection, "certification", "endorsement")


async def _analyze(connection: AsyncConnection, *tables: str) -> None:
    """Have statistics collected, of tables that may be another role's (`app/row_security.py`)."""
    for table in tables:
        if await connection.run_sync(is_guarded):
            await connection.execute(sa.text(f"SELECT {ANALYZE}(:table)"), {"table": table})
        else:
            await connection.execute(sa.text(f"ANALYZE {table}"))
