"""Query results as a stream of dictionaries, so that a list of any length needs little memory."""

from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

Query = sa.Select[Any] | sa.CompoundSelect[Any]
Row = dict[str, Any]

CHUNK = 1000
"""Rows fetched at a time."""


async def rows(connection: AsyncConnection, query: Query) -> AsyncIterator[Row]:
    """Yield each row by column name."""
    result = await connection.stream(query, execution_options={"yield_per": CHUNK})
    names = tuple(result.keys())  # each mapping of a row would ask for them again
    async for chunk in result.partitions():  # awaiting each row would take longer than the row
        for row in chunk:
            yield dict(zip(names, row, strict=True))


async def grouped_rows(connection: AsyncConnection, query: Query, key: str) -> AsyncIterator[list[Row]]:
    """Yield the rows of one `key` together; the query must be ordered by it."""
    group: list[Row] = []
    async for row in rows(connection, query):
        if group and group[0][key] != row[key]:
            yield group
            group = []
        group.append(row)
    if group:
        yield group
