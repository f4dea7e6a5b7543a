"""The encrypted columns: one home for what binds, counts and exchanges their values (I11).

A column is encrypted when its name ends in `_encrypted`. Nothing has to be listed anywhere, so that key
rotation and the check at start-up cannot miss a new one.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

import app.models  # noqa: F401 - declares the tables
from app.crypto import KEY_ID_LENGTH, TOKEN_VERSION

SUFFIX = "_encrypted"
BATCH = 500
"""Values that are read, or exchanged in one transaction."""
MALFORMED = "malformed"
"""Stands for the key id of what is no ciphertext of ours."""

RowId = str | UUID
_PREFIX = f"{TOKEN_VERSION}."
_SHAPE = f"{_PREFIX}{'_' * KEY_ID_LENGTH}.%"


def columns() -> list[sa.Column[Any]]:
    """Return every encrypted column of the models."""
    return [
        column
        for table in SQLModel.metadata.sorted_tables
        for column in table.c
        if column.name.endswith(SUFFIX)
    ]


def place(column: sa.Column[Any], row_id: RowId) -> str:
    """Return where a ciphertext belongs, as its associated data: `table/column/row id`.

    Raises ValueError for a column that rotation would not find.
    """
    if not column.name.endswith(SUFFIX):
        raise ValueError(f"{column} must be named …{SUFFIX} to hold a ciphertext")
    return f"{column.table.name}/{column.name.removesuffix(SUFFIX)}/{row_id}"


async def count(connection: AsyncConnection) -> dict[str, int]:
    """Return how many stored values each key id has, `MALFORMED` among them."""
    found: dict[str, int] = {}
    for column in columns():
        key = _key_id(column)
        query = sa.select(key, sa.func.count()).where(column.is_not(None)).group_by(key)
        for key_id, number in await connection.execute(query):
            found[key_id] = found.get(key_id, 0) + number
    return found


async def has_unknown(connection: AsyncConnection, known: Collection[str]) -> bool:
    """Tell whether any stored value is under a key that is not `known`; each table is read once at most."""
    by_table: dict[sa.FromClause, list[sa.ColumnElement[bool]]] = {}
    for column in columns():
        unknown = _key_id(column).not_in([*known, MALFORMED])
        by_table.setdefault(column.table, []).append(column.is_not(None) & unknown)
    for table, conditions in by_table.items():
        query = sa.select(sa.literal(1)).select_from(table).where(sa.or_(*conditions)).limit(1)
        if (await connection.execute(query)).first():
            return True
    return False


async def batch(
    connection: AsyncConnection, column: sa.Column[Any], key_ids: Collection[str], after: RowId | None
) -> Sequence[tuple[RowId, str]]:
    """Return the next (row id, ciphertext) under any of these keys, in the order of row ids."""
    row_id = _row_id(column)
    query = sa.select(row_id, column).where(column.is_not(None), _key_id(column).in_(key_ids))
    if after is not None:
        query = query.where(row_id > after)
    found = await connection.execute(query.order_by(row_id).limit(BATCH))
    return [(key, value) for key, value in found]


async def exchange(
    connection: AsyncConnection, column: sa.Column[Any], values: Sequence[tuple[RowId, str, str | None]]
) -> int:
    """Put the new in the place of the old of each (row id, old, new); return how many were still the old.

    Where somebody else wrote meanwhile, that stays.
    """
    if not values:
        return 0
    table = column.table
    assert isinstance(table, sa.Table)
    change = (
        sa.update(table)
        .where(_row_id(column) == sa.bindparam("row"), column == sa.bindparam("old"))
        .values({column: sa.bindparam("new")})
    )
    parameters = [dict(zip(("row", "old", "new"), value, strict=True)) for value in values]
    return (await connection.execute(change, parameters)).rowcount


async def remove_row(connection: AsyncConnection, column: sa.Column[Any], row_id: RowId, old: str) -> bool:
    """Delete the row that has `old` in this column; False when somebody else wrote there meanwhile."""
    table = column.table
    assert isinstance(table, sa.Table)
    change = sa.delete(table).where(_row_id(column) == row_id, column == old)
    return (await connection.execute(change)).rowcount == 1


def _key_id(column: sa.Column[Any]) -> sa.ColumnElement[str]:
    named = sa.func.substr(column, len(_PREFIX) + 1, KEY_ID_LENGTH)
    return sa.case((column.like(_SHAPE), named), else_=MALFORMED)


def _row_id(column: sa.Column[Any]) -> sa.Column[Any]:
    table = column.table
    assert isinstance(table, sa.Table)
    [row_id] = table.primary_key.columns
    return row_id
