"""A row for any table, with whatever its columns take; and whole tables as Python has them."""

from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import SQLModel

import app.models  # noqa: F401 - declares the tables
from app.database_urls import database_url
from app.services.database_copy import ARRIVALS_CHECKED
from app.settings import Settings

ID = UUID(int=1)
DUMMIES: dict[type, Any] = {
    str: "x",
    int: 1,
    bool: False,
    UUID: ID,
    datetime: datetime(2026, 1, 2, tzinfo=UTC),
    date: date(2026, 1, 2),
    time: time(6, 30),
    object: [],  # JSON
}


def sync_engine(settings: Settings) -> sa.Engine:
    url = database_url(settings)
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url)
    engine = sa.create_engine(url.set(drivername="sqlite"))

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def value_of(column: sa.Column[Any]) -> Any:
    if isinstance(column.type, sa.Enum):
        return column.type.python_type(column.type.enums[0])
    plain: Any = column.type.impl if isinstance(column.type, sa.TypeDecorator) else column.type
    return DUMMIES[plain.python_type]


def values_of(table: sa.Table) -> dict[str, Any]:
    """What a row must have, and its key; every row of a table is the same one."""
    return {column.name: value_of(column) for column in table.columns if not column.nullable}


def admit_any_row(connection: sa.Connection) -> None:
    """Let the audit trail's tables take rows that do not fit to others; deletions stay refused."""
    for table in ARRIVALS_CHECKED:
        statement = f"ALTER TABLE {table} DISABLE TRIGGER {table}_insert"
        if connection.dialect.name == "sqlite":
            statement = f"DROP TRIGGER IF EXISTS {table}_insert"
        connection.execute(sa.text(statement))


def insert_parents(connection: sa.Connection, table: sa.Table) -> None:
    """Insert one row in every table that a row of `table` needs, itself not included."""
    admit_any_row(connection)
    for parent in SQLModel.metadata.sorted_tables:
        if parent is table:
            return
        connection.execute(sa.insert(parent).values(values_of(parent)))


def all_rows(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of the models, sorted by key."""
    engine = sync_engine(settings)
    try:
        with engine.connect() as connection:
            return {
                table.name: sorted(
                    (tuple(row) for row in connection.execute(sa.select(table))),
                    key=lambda row: [str(value) for value in row],
                )
                for table in SQLModel.metadata.sorted_tables
            }
    finally:
        engine.dispose()
