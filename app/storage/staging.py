"""Temporary tables in which a licence file becomes the records that a district should hold.

They belong to one connection and vanish with it, whatever ends the run: nothing to clean up, nothing that
two districts share. On SQLite they live in a file beside the database, so filling them locks nobody.
"""

from collections.abc import AsyncIterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, CreateTable

from app.models.base import BIG_ID

staging = sa.MetaData()

# Bytewise order on both databases: the ordinals of endorsements are part of their ids.
TEXT = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def _table(name: str, *columns: Any) -> sa.Table:
    return sa.Table(name, staging, *columns, prefixes=["TEMPORARY"])


staged_row = _table(
    "staged_row",
    sa.Column("line", sa.BigInteger),
    # Indexed, because SQLite joins by nested loops and may begin with either table.
    sa.Column("educator_key", TEXT, index=True),
    sa.Column("name_key", TEXT),
    sa.Column("educator_id", TEXT),
    sa.Column("last_name", TEXT),
    sa.Column("first_name", TEXT),
    sa.Column("license_number", TEXT),
    sa.Column("license_type", TEXT),
    sa.Column("status", TEXT),
    sa.Column("issue_date", sa.Date),
    sa.Column("expiration_date", sa.Date),
    sa.Column("code", TEXT),
    sa.Column("description", TEXT),
    sa.Column("endorsement_issue_date", sa.Date),
    sa.Column("endorsement_expiration_date", sa.Date),
    sa.Column("limitation", TEXT),
)
"""Importable rows of people whose educator id or name the district knows, in the order of `LicenceRow`."""

staged_person = _table(
    "staged_person",
    sa.Column("educator_key", TEXT, index=True),
    sa.Column("name_key", TEXT, index=True),
    sa.Column("educator_id", TEXT),
    sa.Column("last_name", TEXT),
    sa.Column("first_name", TEXT),
    sa.Column("rows", sa.BigInteger),
    sa.Column("id_rank", sa.BigInteger),
    sa.Column("id_total", sa.BigInteger),
    sa.Column("name_rank", sa.BigInteger),
    sa.Column("name_total", sa.BigInteger),
)
"""The file's people: who shares an id (`id_*`) and who shares a name (`name_*`) with others."""

same_id_row = _table(
    "same_id_row",
    sa.Column("line", sa.BigInteger),
    sa.Column("employee_id", BIG_ID),
    sa.Column("certification_public_id", sa.Uuid, index=True),
    sa.Column("license_number", TEXT),
    sa.Column("license_type", TEXT),
    sa.Column("status", TEXT),
    sa.Column("issue_date", sa.Date),
    sa.Column("expiration_date", sa.Date),
    sa.Column("code", TEXT),
    sa.Column("description", TEXT),
    sa.Column("endorsement_issue_date", sa.Date),
    sa.Column("endorsement_expiration_date", sa.Date),
    sa.Column("limitation", TEXT),
)
"""Rows with an employee's educator id, each with the certification that it is of; NULL under another name."""

wanted_certification = _table(
    "wanted_certification",
    sa.Column("public_id", sa.Uuid, index=True),
    sa.Column("employee_id", BIG_ID, index=True),
    sa.Column("license_number", TEXT),
    sa.Column("license_type", TEXT),
    sa.Column("status", TEXT),
    sa.Column("issue_date", sa.Date),
    sa.Column("expiration_date", sa.Date),
    sa.Column("variants", sa.BigInteger),
)
"""`variants` are the different statuses and dates that the rows of a licence have, of which one is kept."""

split_licence = _table("split_licence", sa.Column("public_id", sa.Uuid))
"""Licences whose rows were not matched at once: few, as a licence's rows follow each other."""

unmatched = _table(
    "unmatched",
    sa.Column("employee_id", BIG_ID, index=True),
    sa.Column("job_class", TEXT),
)
"""Active employees whom no row matches: few, and asked for by most of the lists."""

wanted_endorsement = _table(
    "wanted_endorsement",
    sa.Column("public_id", sa.Uuid, index=True),
    sa.Column("certification_public_id", sa.Uuid, index=True),
    sa.Column("employee_id", BIG_ID),
    sa.Column("code", TEXT),
    sa.Column("ordinal", sa.BigInteger),
    sa.Column("description", TEXT),
    sa.Column("issue_date", sa.Date),
    sa.Column("expiration_date", sa.Date),
    sa.Column("limitation", TEXT),
    sa.Column("is_primary", sa.Boolean),
)


def record_columns(wanted: sa.Table) -> list[sa.Column[Any]]:
    """Return the columns of wanted records that are columns of records."""
    return [column for column in wanted.c if column.name != "variants"]


def _change_table(name: str, wanted: sa.Table) -> sa.Table:
    return _table(
        name,
        sa.Column("kind", TEXT),
        sa.Column("part", sa.BigInteger, index=True),
        sa.Column("record_id", BIG_ID),
        *(
            sa.Column(column.name, column.type, index=column.name == "public_id")
            for column in record_columns(wanted)
        ),
    )


certification_change = _change_table("certification_change", wanted_certification)
"""What the replace has to write, with the wanted values, so that it joins nothing while writers wait.

`kind` is a `Change`, `part` counts from 0, `record_id` is the key of the row that stands.
"""

endorsement_change = _change_table("endorsement_change", wanted_endorsement)


PLANNING = {"work_mem": "64MB", "default_statistics_target": "10", "jit": "off"}
"""PostgreSQL's settings while a file is matched: sorts in memory, a few rows looked at for the statistics."""


async def prepare(connection: AsyncConnection) -> None:
    """Set the connection to work on large tables, until `drop`; lasts once it is committed."""
    if connection.dialect.name == "postgresql":
        for name, value in PLANNING.items():
            await connection.execute(sa.text(f"SET {name} = '{value}'"))


async def create(connection: AsyncConnection, *tables: sa.Table) -> None:
    """Create `tables` empty, dropping what an earlier use of the connection may have left."""
    for table in tables:
        await connection.execute(sa.text(f"DROP TABLE IF EXISTS {table.name}"))
        await connection.execute(CreateTable(table))


async def fill(connection: AsyncConnection, table: sa.Table, query: sa.Select[Any]) -> None:
    """Add the rows of `query`, which has the columns of `table` in their order."""
    await connection.execute(sa.insert(table).from_select([column.name for column in table.columns], query))


async def settle(connection: AsyncConnection, *tables: sa.Table) -> None:
    """Index filled `tables` and let the planner know their size; a temporary table gets no autovacuum.

    PostgreSQL joins all of a table by hashing and needs an index only where parts of one are taken.
    """
    on_postgresql = connection.dialect.name == "postgresql"
    for table in tables:
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if not on_postgresql or "part" in index.columns:
                await connection.execute(CreateIndex(index))
        if on_postgresql:
            await connection.execute(sa.text(f"ANALYZE {table.name}"))


async def drop(connection: AsyncConnection) -> None:
    """Drop all of them, so that the connection goes back to its pool as it came."""
    for table in staging.sorted_tables:
        await connection.execute(sa.text(f"DROP TABLE IF EXISTS {table.name}"))
    if connection.dialect.name == "postgresql":
        for name in PLANNING:
            await connection.execute(sa.text(f"RESET {name}"))


class Packed(NamedTuple):
    """Rows of `staged_row` as a database takes them fastest: their number, the first one's line, and they.

    PostgreSQL takes one text.
    """

    size: int
    first: int
    rows: Any


def pack(connection: AsyncConnection, rows: Sequence[tuple[Any, ...]]) -> Packed:
    """Prepare rows, one at least, for `load`; dates are ISO text."""
    on_postgresql = connection.dialect.name == "postgresql"
    return Packed(len(rows), rows[0][0], _lines(rows) if on_postgresql else rows)


async def load(connection: AsyncConnection, parts: AsyncIterable[Packed]) -> int | None:
    """Put rows into `staged_row`; return the line of the first one, None when there was none."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    columns = ", ".join(column.name for column in staged_row.columns)
    first: int | None = None
    if connection.dialect.name == "postgresql":
        copied = f"COPY staged_row ({columns}) FROM STDIN (NULL '{NULL}')"
        async with raw.cursor() as cursor, cursor.copy(copied) as copy:
            async for part in parts:
                first = first or part.first
                await copy.write(part.rows)
        return first
    insert = f"INSERT INTO staged_row VALUES ({', '.join('?' * len(staged_row.columns))})"  # noqa: S608 - no input in it
    async for part in parts:
        first = first or part.first
        await raw.executemany(insert, part.rows)
    return first


NULL = "\x1f"
"""Counts as white space, so that no text of a licence file, all of them trimmed, is this."""
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _lines(batch: Sequence[tuple[Any, ...]]) -> str:
    """Return rows in COPY's text format; a third of the time that the driver or the csv module takes."""
    tabs = len(staged_row.columns) - 2
    lines = []
    for line, *texts in batch:
        known = [NULL if text is None else text for text in texts]
        joined = "\t".join(known)
        if "\n" in joined or "\r" in joined or "\\" in joined or joined.count("\t") > tabs:
            joined = "\t".join([text.translate(ESCAPES) for text in known])
        lines.append(f"{line}\t{joined}\n")
    return "".join(lines)
