"""Copies a remote file so that server, network and disk all work at the same time."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import cast

import asyncssh

from app.storage.part_file import PartFile

_LARGEST_READ = 256 << 10
_MOST_READS = 64
_AHEAD = 4 << 20
"""Bytes under way from the server."""
_WRITTEN_AT_ONCE = 1 << 20


async def read_ahead(source: asyncssh.SFTPClientFile, size: int, largest_read: int) -> AsyncGenerator[bytes]:
    """Yield the first `size` bytes of `source` in order, many reads ahead; less if the file ends before.

    `source` is opened with `block_size=0`, so that one read is one request; `largest_read` is what the
    server answers at once. Raises what asyncssh raises, and SFTPBadMessage for more than was asked for.
    """
    block = min(largest_read, _LARGEST_READ)
    under_way: deque[tuple[int, asyncio.Task[bytes]]] = deque()
    offset = 0
    try:
        while True:
            while offset < size and len(under_way) < min(_AHEAD // block, _MOST_READS):
                length = min(block, size - offset)
                under_way.append((length, asyncio.create_task(_read(source, offset, length))))
                offset += length
            if not under_way:
                return
            length, reading = under_way[0]
            data = await reading
            under_way.popleft()
            if data:
                yield data
            if len(data) < length:
                return  # what the reads after it brought would leave a gap
    finally:
        for _, reading in under_way:
            reading.cancel()
        await asyncio.gather(*(reading for _, reading in under_way), return_exceptions=True)


async def _read(source: asyncssh.SFTPClientFile, offset: int, length: int) -> bytes:
    """Return `length` bytes, however many answers the server makes of them; less where the file ends."""
    pieces: list[bytes] = []
    while length and (piece := cast("bytes", await source.read(length, offset))):
        if len(piece) > length:
            raise asyncssh.SFTPBadMessage("The server sent more than it was asked for")
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return b"".join(pieces)


async def write_behind(blocks: AsyncIterator[bytes], part: PartFile, progress: Callable[[int], None]) -> None:
    """Write the blocks to `part` in a thread, while further ones come; `progress` is told the bytes so far.

    Raises what the blocks and the disk raise. However it ends, nothing writes to `part` afterwards.
    """
    received = waiting = 0
    held: list[bytes] = []
    writing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writing.set_result(None)
    try:
        async for block in blocks:
            held.append(block)
            waiting += len(block)
            received += len(block)
            progress(received)
            if waiting >= _WRITTEN_AT_ONCE:
                await writing
                writing = asyncio.ensure_future(asyncio.to_thread(_write, part, held))
                held, waiting = [], 0
        await writing
        writing = asyncio.ensure_future(asyncio.to_thread(_write, part, held))
        await writing
    finally:
        await asyncio.gather(writing, return_exceptions=True)


def _write(part: PartFile, blocks: Sequence[bytes]) -> None:
    for block in blocks:
        part.write(block)
