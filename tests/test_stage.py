"""Rows are read ahead of PostgreSQL, which matches those before them; whatever fails ends both."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.factory import Factory
from app.pipeline import match, stage
from app.pipeline.parse import LicenceFile, everyone
from tests.support.imports import DISTRICT, employee, row, run_import, write_file
from tests.support.processes import until_async

ROWS, PIECE = 40, 4


@pytest.fixture
async def district(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> Factory:
    monkeypatch.setattr(stage, "PIECE", PIECE)
    monkeypatch.setattr(LicenceFile.batches, "__defaults__", (everyone, 1))
    await factory.employees.put_all(DISTRICT, [employee("E1", "1", "Lovelace", "Ada")])
    return factory


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_file(tmp_path, [row("1", "Lovelace", "Ada", f"L{number}") for number in range(ROWS)])


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of rows of the parts that were read so far."""
    sizes: list[int] = []
    packed = stage._packed

    async def noted(*arguments: Any) -> AsyncIterator[Any]:
        async for part in packed(*arguments):
            sizes.append(part.size)
            yield part

    monkeypatch.setattr(stage, "_packed", noted)
    return sizes


def held_up(monkeypatch: pytest.MonkeyPatch, then: Any) -> None:
    """Have each match of a piece wait until the reader can do no more, and then call `then`."""
    match_rows = match.match_rows

    async def slow(*arguments: Any) -> int:
        for _ in range(100):
            await asyncio.sleep(0)
        then()
        return await match_rows(*arguments)

    monkeypatch.setattr(match, "match_rows", slow)


@pytest.mark.parametrize(("ahead", "rows"), [(100_000, ROWS), (0, PIECE + 2)])
async def test_rows_are_read_while_those_before_are_matched_but_not_many(
    district: Factory, file: Path, read: list[int], monkeypatch: pytest.MonkeyPatch, ahead: int, rows: int
) -> None:
    monkeypatch.setattr(stage, "AHEAD", ahead)
    when_matched: list[int] = []
    held_up(monkeypatch, lambda: when_matched.append(sum(read)))
    run = await run_import(district, file, accept_shrink=True)
    assert run.summary
    assert run.summary["certifications_imported"] == run.summary["rows_matched"] == ROWS
    # Without room for more, one part is kept and another waits for its place. SQLite matches in the end.
    assert when_matched[0] == (ROWS if district.database.is_sqlite else rows)
    assert sum(read) == ROWS


async def test_a_failing_match_ends_the_reading(
    district: Factory, file: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise sa.exc.OperationalError("INSERT", {}, Exception("disk full"))

    monkeypatch.setattr(stage, "AHEAD", 0)
    held_up(monkeypatch, fail)
    before = asyncio.all_tasks()
    run = await run_import(district, file)
    assert (run.status, run.failure_code) == ("failed", "database_error")
    assert district.database.is_sqlite or sum(read) < ROWS
    await until_async(lambda: asyncio.all_tasks() <= before)


async def test_a_failing_reader_ends_the_matching(
    district: Factory, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = LicenceFile.batches

    def broken(self: LicenceFile, *arguments: Any) -> Any:
        for number, batch in enumerate(batches(self, *arguments)):
            if number == ROWS // 2:
                raise OSError("the disk is gone")
            yield batch

    broken.__defaults__ = (everyone, 1)
    monkeypatch.setattr(LicenceFile, "batches", broken)
    before = asyncio.all_tasks()
    run = await run_import(district, file)
    assert (run.status, run.failure_code) == ("failed", "internal_error")
    await until_async(lambda: asyncio.all_tasks() <= before)
