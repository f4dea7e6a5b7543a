"""A download reads ahead and writes behind; what arrives is the file, however the server answers."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from app.storage.part_file import PartFile
from app.storage.sftp_stream import read_ahead, write_behind

BLOCK = 1000
CONTENT = bytes(range(256)) * 1000


class Source:
    """A remote file; `answer` makes a server's answer of what was asked for, when its turn comes."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.under_way = self.most = 0

    async def read(self, length: int, offset: int) -> bytes:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0)
            return await self.answer(length, offset)
        finally:
            self.under_way -= 1

    async def answer(self, length: int, offset: int) -> bytes:
        return self.content[offset : offset + length]


async def read_all(source: Any, size: int = len(CONTENT) + 1, largest_read: int = BLOCK) -> bytes:
    async with aclosing(read_ahead(source, size, largest_read)) as blocks:
        return b"".join([block async for block in blocks])


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, len(CONTENT), len(CONTENT) + 1])
async def test_no_more_than_the_size_is_read(size: int) -> None:
    assert await read_all(Source(), size) == CONTENT[:size]


@pytest.mark.parametrize("largest_read", [1, BLOCK, 1 << 40])
async def test_requests_under_way_are_many_but_bounded(largest_read: int) -> None:
    source = Source(bytes(64 << 20) if largest_read > BLOCK else CONTENT)
    size = min(len(source.content), 1000 * largest_read)
    assert await read_all(source, size, largest_read) == source.content[:size]
    assert source.most == (16 if largest_read > BLOCK else 64)


async def test_answers_in_parts_and_out_of_turn() -> None:
    class Unruly(Source):
        async def answer(self, length: int, offset: int) -> bytes:
            for _ in range(offset // BLOCK % 7):
                await asyncio.sleep(0)
            return await super().answer(min(length, 300), offset)

    assert await read_all(Unruly()) == CONTENT


async def test_nothing_is_put_behind_a_gap() -> None:
    """A file that was shorter for one request, and is as long as before for the next."""

    class Flickering(Source):
        async def answer(self, length: int, offset: int) -> bytes:
            return b"" if offset == 2 * BLOCK else await super().answer(length, offset)

    assert await read_all(Flickering()) == CONTENT[: 2 * BLOCK]


async def test_more_than_was_asked_for_is_refused() -> None:
    class Generous(Source):
        async def answer(self, length: int, offset: int) -> bytes:
            return await super().answer(length + 1, offset)

    with pytest.raises(asyncssh.SFTPBadMessage):
        await read_all(Generous())


@pytest.mark.parametrize("stop", [True, False], ids=["reader stops", "server fails"])
async def test_no_request_is_left_behind(stop: bool) -> None:
    class Failing(Source):
        async def answer(self, length: int, offset: int) -> bytes:
            if offset == 3 * BLOCK and not stop:
                raise asyncssh.SFTPConnectionLost("gone")
            return await super().answer(length, offset)

    source: Any = Failing()
    before = asyncio.all_tasks()
    try:
        async with aclosing(read_ahead(source, len(CONTENT), BLOCK)) as blocks:
            async for _ in blocks:
                if stop:
                    break
    except asyncssh.SFTPConnectionLost:
        assert not stop
    assert source.under_way == 0
    assert asyncio.all_tasks() == before


async def test_blocks_are_received_while_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_received = threading.Event()
    write = PartFile.write

    def waiting_write(part: PartFile, chunk: bytes) -> None:
        assert all_received.wait(20)
        write(part, chunk)

    monkeypatch.setattr(PartFile, "write", waiting_write)
    told: list[int] = []

    content = CONTENT * 6

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), BLOCK):
            yield content[start : start + BLOCK]
        all_received.set()

    with PartFile(tmp_path / "file") as part:
        await write_behind(blocks(), part, told.append)
        part.sync()
        part.finish()
    assert (tmp_path / "file").read_bytes() == content
    assert told == [*range(BLOCK, len(content), BLOCK), len(content)]


async def test_no_write_goes_on_after_a_cancellation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bytes(1 << 20)
    begun, go_on = threading.Event(), threading.Event()
    write = PartFile.write

    def waiting_write(part: PartFile, chunk: bytes) -> None:
        begun.set()
        assert go_on.wait(20)
        write(part, chunk)

    monkeypatch.setattr(PartFile, "write", waiting_write)

    async def blocks() -> AsyncIterator[bytes]:
        yield first
        await asyncio.Event().wait()

    with PartFile(tmp_path / "file") as part:
        copying = asyncio.create_task(write_behind(blocks(), part, lambda _received: None))
        assert await asyncio.to_thread(begun.wait, 20)
        copying.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not copying.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await copying
        assert part.size == len(first)
