"""Lines of a run's lists are written behind its back, in their order, and none is lost or written twice."""

import asyncio
from typing import Any

import pytest

from app.constants import FindingKind
from app.factory import Factory
from app.models import Run
from app.services.runs import RunOptions
from app.storage import run_findings
from app.storage.run_findings import FindingWriter, chunk, totals
from tests.support.imports import DISTRICT, USER

MISSING, CHANGE = FindingKind.MISSING, FindingKind.CHANGE


@pytest.fixture
async def run(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(run_findings, "BATCH", 3)
    monkeypatch.setattr(run_findings, "BEHIND", 2)
    return await factory.runs.start_local(DISTRICT, USER, "a test", RunOptions())


def writer_of(factory: Factory, run: Run) -> FindingWriter:
    return FindingWriter(factory.database, DISTRICT, run.id, run.attempt)


async def lines(factory: Factory, run: Run, kind: FindingKind) -> list[int]:
    async with factory.database.engine.connect() as connection:
        return [data["n"] for _, data in await chunk(connection, run, kind, 0)]


async def counted(factory: Factory, run: Run) -> dict[FindingKind, int]:
    async with factory.database.engine.connect() as connection:
        return await totals(connection, run, (MISSING, CHANGE))


class Gate:
    """Lets nothing be written until it is opened; counts who came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.came, write = asyncio.Event(), 0, FindingWriter._write

        async def gated(writer: FindingWriter, statement: Any) -> None:
            self.came += 1
            await self.open.wait()
            await write(writer, statement)

        monkeypatch.setattr(FindingWriter, "_write", gated)


async def test_lines_of_many_batches_keep_their_order(factory: Factory, run: Run) -> None:
    writer = writer_of(factory, run)
    for n in range(11):
        await writer.add(MISSING, {"n": n})
    for n in range(4):
        await writer.add(CHANGE, {"n": n})
    await writer.flush()
    assert await lines(factory, run, MISSING) == list(range(11))
    assert await lines(factory, run, CHANGE) == list(range(4))


async def test_the_next_batches_are_collected_while_one_is_written_but_not_many(
    factory: Factory, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, writer = Gate(monkeypatch), writer_of(factory, run)
    for n in range(11):  # three batches, and two lines more
        await writer.add(MISSING, {"n": n})
    waiting = asyncio.create_task(writer.add(MISSING, {"n": 11}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert gate.came == 1  # two batches are never under way
    assert not waiting.done()
    gate.open.set()
    await waiting
    await writer.flush()
    assert await lines(factory, run, MISSING) == list(range(12))


async def test_a_batch_that_cannot_be_written_ends_the_run(
    factory: Factory, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = writer_of(factory, run)

    async def broken(_writer: FindingWriter, _statement: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(FindingWriter, "_write", broken)
    for n in range(6):
        await writer.add(MISSING, {"n": n})
    with pytest.raises(ConnectionError, match="gone"):
        await writer.flush()
    await writer.stop()


async def test_a_run_that_ends_leaves_nothing_behind(
    factory: Factory, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, writer = Gate(monkeypatch), writer_of(factory, run)
    for n in range(7):
        await writer.add(MISSING, {"n": n})
    await writer.stop()
    gate.open.set()
    await writer.flush()
    assert await counted(factory, run) == {MISSING: 0, CHANGE: 0}
    assert len(asyncio.all_tasks()) == 1


async def test_what_is_forgotten_takes_no_other_list_with_it(factory: Factory, run: Run) -> None:
    writer = writer_of(factory, run)
    await writer.forget()
    for n in range(4):
        await writer.add(CHANGE, {"n": n})
    for n in range(2):
        await writer.add(MISSING, {"n": n})
    await writer.forget((CHANGE,))
    await writer.flush()
    assert await counted(factory, run) == {MISSING: 2, CHANGE: 0}


async def test_another_attempt_forgets_what_the_one_before_wrote(factory: Factory, run: Run) -> None:
    for attempt in (1, 2):
        writer = FindingWriter(factory.database, DISTRICT, run.id, attempt)
        await writer.forget()
        await writer.add(MISSING, {"n": attempt})
        await writer.flush()
    run.attempt = 1
    assert await lines(factory, run, MISSING) == []
    run.attempt = 2
    assert await lines(factory, run, MISSING) == [2]
