"""A table's rows on their way from one database to another, and what both say they hold."""

import json
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa
from psycopg import sql

from app.errors import DatabaseCopyError

BATCH = 5_000
"""Rows in memory at once, on either side."""
CHECKSUM_BYTES = 16
_WRAP = 1 << (8 * CHECKSUM_BYTES)
_encode = json.JSONEncoder(default=str, ensure_ascii=False, separators=(",", ":")).encode

Told = Callable[[int], None]
"""Is called with a number of rows whenever so many more are done."""


class Content(NamedTuple):
    """How many rows a table has, and a checksum of them that does not depend on their order."""

    rows: int
    checksum: int


def count(connection: sa.Connection, table: sa.Table) -> int:
    """Return how many rows a table has."""
    return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def content(connection: sa.Connection, table: sa.Table, told: Told) -> Content:
    """Read a whole table and return what it holds, the same on either database for the same rows.

    A row counts as its values do in Python, where a time is an instant and true is not 1; JSON counts as
    the text that it is.
    """
    rows = checksum = 0
    for part in _parts(connection, table):
        for row in part:
            digest = blake2b(_encode(list(row)).encode(), digest_size=CHECKSUM_BYTES).digest()
            checksum = (checksum + int.from_bytes(digest)) % _WRAP
        rows += len(part)
        told(len(part))
    return Content(rows, checksum)


def copy_rows(source: sa.Connection, target: psycopg.Connection[Any], table: sa.Table, told: Told) -> None:
    """Write all rows of a table of `source` into the same, empty table of `target`, a PostgreSQL.

    Raises DatabaseCopyError naming the row that PostgreSQL cannot store; it quotes nothing of it but its key.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(sql.Identifier(column.name) for column in table.c)
    )
    try:
        with target.cursor() as cursor, cursor.copy(statement) as copy:
            for part in _parts(source, table):
                for row in part:
                    _write(copy, row, table)
                told(len(part))
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise DatabaseCopyError(
            f"PostgreSQL does not take a row of the table {table.name}: {type(error).__name__} "
            f"(column {error.diag.column_name or _column_of(error, table)}, SQLSTATE {error.sqlstate})."
        ) from error


def _write(copy: psycopg.Copy, row: sa.Row[Any], table: sa.Table) -> None:
    try:
        copy.write_row(row)
    except psycopg.DataError as error:  # the driver's own: a text with NUL
        key = {column.name: str(row._mapping[column.name]) for column in table.primary_key}  # noqa: SLF001 - public in spite of its name
        raise DatabaseCopyError(
            f"The row {key} of the table {table.name} cannot be stored by PostgreSQL: {error}. "
            "Correct it in SQLite and copy again."
        ) from error


def _column_of(error: psycopg.Error, table: sa.Table) -> str:
    """Return the column of `COPY run, line 3, column phase: "…"`, without the value that follows it."""
    for line in (error.diag.context or "").splitlines():
        name = line.partition(":")[0].rpartition(" ")[2]
        if line.startswith("COPY ") and name in table.c:
            return name
    return "unknown"


def set_counters(source: sa.Connection, target: sa.Connection, tables: list[sa.Table]) -> None:
    """Let the target's sequences go on after the copied keys and versions."""
    versions = [
        target.execute(sa.select(sa.func.max(table.c.version))).scalar_one() or 0
        for table in tables
        if "version" in table.c
    ]
    counter = source.execute(sa.text("SELECT value FROM resource_version")).scalar_one()
    _set_sequence(target, "resource_version", max(counter, *versions))
    for table in tables:
        key = table.autoincrement_column
        if key is not None:
            query = sa.select(sa.func.pg_get_serial_sequence(table.name, key.name), sa.func.max(key))
            name, last = target.execute(query.select_from(table)).one()
            _set_sequence(target, name, last or 0)


def _set_sequence(target: sa.Connection, name: str, last: int) -> None:
    target.execute(sa.select(sa.func.setval(name, max(last, 1), last > 0)))


def _parts(connection: sa.Connection, table: sa.Table) -> Iterator[Any]:
    """Yield all rows of a table, `BATCH` at a time, with plain values in the order of its columns."""
    query = sa.select(*(_plain(column) for column in table.c))
    options = {"stream_results": True, "yield_per": BATCH}
    try:
        with connection.execute(query, execution_options=options) as result:
            yield from result.partitions()
    except ValueError:  # its message quotes the value
        raise DatabaseCopyError(
            f"The table {table.name} holds a date, time or number that is none. "
            "Correct it in SQLite and copy again."
        ) from None


def _plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return what is read of a column: JSON and vocabularies as the text that is stored, byte for byte.

    JSON that is read and written again could differ: a stored `null` from nothing stored, 1.0 from 1.
    """
    if isinstance(column.type, sa.JSON):
        return sa.cast(column, sa.Text).label(column.name)
    if isinstance(column.type, sa.Enum):
        return sa.type_coerce(column, sa.Text).label(column.name)
    return column
