"""INSERT … ON CONFLICT, which both databases have and SQLAlchemy keeps in their dialects."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def upserting(connection: AsyncConnection, table: sa.Table) -> Any:
    """Return an INSERT into `table` that has `on_conflict_do_update`."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(table)
