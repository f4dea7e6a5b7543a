"""Statements for thousands of rows, which SQLAlchemy's own take most of their time to get ready."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

MANY = 50
"""From so many rows on they go another way than a few."""


def as_plain(value: object) -> object:
    """Return a value as JSON can have it: days, times and instants in ISO 8601, all else as its text."""
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


async def insert_rows(
    connection: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Add rows, which all have the same columns and no defaults for the others.

    Many go to PostgreSQL in one statement, as JSON, and to SQLite's driver as it takes them.
    """
    if len(rows) < MANY:
        if rows:
            await connection.execute(sa.insert(table), rows)
        return
    names = list(rows[0])
    columns = ", ".join(names)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        statement = f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"  # noqa: S608 - no input in it
        await connection.exec_driver_sql(statement, _bound(connection.dialect, table, names, rows))
    else:
        source = f"json_populate_recordset(CAST(NULL AS {table.name}), CAST(:rows AS json))"
        statement = f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {source}"  # noqa: S608 - as above
        await connection.execute(sa.text(statement), {"rows": json.dumps(rows, default=as_plain)})


def _bound(
    dialect: sa.Dialect, table: sa.Table, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> list[tuple[Any, ...]]:
    """Return the rows as the driver takes them: each column as its type says, one value of all rows once."""
    columns = list[Iterable[Any]]()
    for name in names:
        process = table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        values = [row[name] for row in rows]
        if process is None:
            columns.append(values)
        elif all(value is values[0] for value in values):
            columns.append([process(values[0])] * len(values))
        else:
            columns.append(map(process, values))
    return list(zip(*columns, strict=True))


def among(
    connection: AsyncConnection, column: sa.Column[str], texts: Sequence[str]
) -> sa.ColumnElement[bool]:
    """Return the condition that a column has one of many texts, in one parameter."""
    if connection.dialect.name == "sqlite":
        return column.in_(sa.select(sa.func.json_each(json.dumps(texts)).table_valued("value").c.value))
    return column == sa.any_(sa.literal(texts, ARRAY(sa.Text)))
