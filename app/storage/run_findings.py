"""The lines of a run's lists: written in batches while it runs, read as streams for its reports."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FindingKind
from app.database import Database
from app.models import Run, RunFinding
from app.storage.row_stream import rows

finding = RunFinding.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

BATCH = 2000
"""Findings written in one transaction."""
BEHIND = 4
"""Batches that may wait to be written."""
CHUNK = 500
"""Findings read at a time for a reader who may be slow."""


class FindingWriter:
    """Collects the findings of one attempt of a run and writes them.

    Mostly in transactions of their own, while the next ones are collected; `within` a transaction while that
    keeps every other writer out.
    """

    def __init__(self, database: Database, district_id: str, run_id: UUID, attempt: int) -> None:
        self._database = database
        self._common = {"district_id": district_id, "run_id": run_id, "attempt": attempt}
        self._kind = FindingKind.WARNING
        self._pending: list[dict[str, Any]] = []
        self._within: AsyncConnection | None = None
        self._writing: deque[asyncio.Task[None]] = deque()  # each begins when the one before is done
        self._kinds = set(FindingKind)  # of which there may be lines

    @contextmanager
    def within(self, connection: AsyncConnection) -> Iterator[None]:
        """Write on `connection`, in its transaction, during the body."""
        self._within = connection
        try:
            yield
        finally:
            self._within = None
            self._pending = []

    async def forget(self, kinds: Sequence[FindingKind] = tuple(FindingKind)) -> None:
        """Remove what earlier attempts of the run, or an earlier pass of this one, found of these kinds."""
        if self._kinds.isdisjoint(kinds):
            return
        await self.flush()
        self._kinds -= set(kinds)
        await self._write(
            sa.delete(finding).where(
                finding.c.district_id == self._common["district_id"],
                finding.c.run_id == self._common["run_id"],
                finding.c.attempt <= self._common["attempt"],
                finding.c.kind.in_(kinds),
            )
        )

    async def add(self, kind: FindingKind, data: dict[str, Any]) -> None:
        """Take one finding; its batch is written when it is full, another kind comes, or at `flush`.

        Raises what a batch before could not be written for.
        """
        if kind is not self._kind:
            await self._begin()
            self._kind = kind
        self._pending.append(data)
        if len(self._pending) >= BATCH:
            await self._begin()

    async def flush(self) -> None:
        """Write what is pending, and return when everything is written."""
        await self._begin()
        await self._end(0)

    async def stop(self) -> None:
        """Give up what is not written yet, whatever ended the run."""
        self._pending = []
        for writing in self._writing:
            writing.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
        self._writing.clear()

    async def _begin(self) -> None:
        """Have the batch written."""
        if not self._pending:
            return
        statement = self._insert(self._pending)
        self._pending = []
        self._kinds.add(self._kind)
        if self._within is not None:
            await self._within.execute(statement)
        else:
            await self._end(BEHIND)
            before = self._writing[-1] if self._writing else None
            self._writing.append(asyncio.create_task(self._write_after(before, statement)))

    async def _end(self, waiting: int) -> None:
        """Return when at most so many batches are left to be written."""
        while len(self._writing) > waiting:
            await self._writing[0]
            self._writing.popleft()

    async def _write_after(self, before: asyncio.Task[None] | None, statement: sa.Executable) -> None:
        if before:  # lines are read in the order in which they are written
            await before
        await self._write(statement)

    def _insert(self, batch: list[dict[str, Any]]) -> sa.Insert:
        # One value for all of them: a statement for each takes ten times as long.
        items = sa.literal(batch, sa.JSON)
        each = sa.func.json_each if self._database.is_sqlite else sa.func.json_array_elements
        common = {**self._common, "kind": self._kind}
        query = sa.select(
            *(sa.literal(value, finding.c[name].type) for name, value in common.items()),
            sa.column("value", finding.c.data.type),
        ).select_from(each(items).table_valued("value"))
        return sa.insert(finding).from_select([*common, "data"], query)

    async def _write(self, statement: sa.Executable) -> None:
        if self._within is not None:
            await self._within.execute(statement)
            return
        async with self._database.write() as session:
            await (await session.connection()).execute(statement)


async def findings(
    connection: AsyncConnection, run: Run, kind: FindingKind, limit: int | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Yield the items of one list of an ended run in the order found, at most `limit`."""
    query = (
        sa.select(finding.c.data).where(*_of(run), finding.c.kind == kind).order_by(finding.c.id).limit(limit)
    )
    async for row in rows(connection, query):
        yield row["data"]


async def chunk(
    connection: AsyncConnection, run: Run, kind: FindingKind, after: int
) -> list[tuple[int, dict[str, Any]]]:
    """Return the next items of one list of an ended run, each with its key; `after` is the last key seen."""
    query = (
        sa.select(finding.c.id, finding.c.data)
        .where(*_of(run), finding.c.kind == kind, finding.c.id > after)
        .order_by(finding.c.id)
        .limit(CHUNK)
    )
    return [(row.id, row.data) for row in await connection.execute(query)]


async def totals(
    connection: AsyncConnection, run: Run, kinds: Sequence[FindingKind]
) -> dict[FindingKind, int]:
    """Return the length of each list of an ended run."""
    query = (
        sa.select(finding.c.kind, sa.func.count().label("total")).where(*_of(run)).group_by(finding.c.kind)
    )
    counted = {row.kind: row.total for row in await connection.execute(query)}
    return {kind: counted.get(kind, 0) for kind in kinds}


def _of(run: Run) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        finding.c.district_id == run.district_id,
        finding.c.run_id == run.id,
        finding.c.attempt == run.attempt,
    )
