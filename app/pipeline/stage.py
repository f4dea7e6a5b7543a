"""Reads the file into the staging table: one pass, in batches, rejected rows listed on the way.

What is staged is matched while the next rows are read, or the database would wait for the file and then the
program for the database.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FindingKind
from app.pipeline.known_people import KnownPeople
from app.pipeline.parse import LicenceFile, RowCounts, everyone
from app.storage import staging
from app.storage.run_findings import FindingWriter
from app.storage.staging import Packed

LISTED_AT_LEAST = 100_000
"""Every rejected row of an acceptable file is listed; of a hopeless one this many are."""
PIECE = 100_000
"""Rows staged before they are matched, at least: the match looks at all employees each time."""
SHARE = 32
"""Or so large a part of what was staged before: the match looks for a piece among all staged rows."""
AHEAD = 25_000_000
"""Characters of rows that are read while the database is busy; batches of hostile rows are long."""


async def stage(
    connection: AsyncConnection,
    file: LicenceFile,
    known: KnownPeople | None,
    writer: FindingWriter,
    progress: Callable[[int], None],
    staged: Callable[[int], Awaitable[None]] | None,
) -> RowCounts:
    """Fill `staged_row` with the importable rows that may be ours; return what the file had.

    Without `known`, any row may be. `progress` is told the bytes read; `staged` the first line of some that
    were staged, each time it is worth while. Raises RunFailure for a file that cannot be read.
    """
    await staging.create(connection, staging.staged_row)
    packed = _packed(connection, file, known, writer, progress)
    async with aclosing(_ahead(packed, AHEAD if staged else 0)) as parts:
        size = total = PIECE
        while (first := await staging.load(connection, _piece(parts, size))) is not None:
            if staged:
                await staged(first)
            size = max(PIECE, total // SHARE)
            total += size
    await writer.flush()
    await staging.settle(connection, staging.staged_row)
    return file.counts


async def _packed(
    connection: AsyncConnection,
    file: LicenceFile,
    known: KnownPeople | None,
    writer: FindingWriter,
    progress: Callable[[int], None],
) -> AsyncIterator[Packed]:
    for batch in file.batches(known.maybe if known else everyone):
        if file.counts.rejected <= max(LISTED_AT_LEAST, file.counts.read // 10):
            for rejection in batch.rejections:
                await writer.add(FindingKind.REJECTED, rejection._asdict())
        progress(batch.bytes_read)
        if batch.rows:
            yield staging.pack(connection, batch.rows)
        await asyncio.sleep(0)  # the heartbeat and the database share this loop


async def _ahead(parts: AsyncIterator[Packed], limit: int) -> AsyncGenerator[Packed, None]:
    """Yield the parts; those that wait to be asked for are at most one longer than `limit`."""
    queue: asyncio.Queue[Packed | Exception | None] = asyncio.Queue()
    waiting, taken = 0, asyncio.Event()

    async def read() -> None:
        nonlocal waiting
        try:
            async for part in parts:
                while waiting > limit:
                    taken.clear()
                    await taken.wait()
                waiting += len(part.rows)
                queue.put_nowait(part)
        except Exception as error:  # noqa: BLE001 - raised where the parts are taken
            queue.put_nowait(error)
        else:
            queue.put_nowait(None)

    reading = asyncio.create_task(read())
    try:
        while (part := await queue.get()) is not None:
            if isinstance(part, Exception):
                raise part
            waiting -= len(part.rows)
            taken.set()
            yield part
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def _piece(parts: AsyncIterator[Packed], size: int) -> AsyncIterator[Packed]:
    taken = 0
    async for part in parts:
        yield part
        taken += part.size
        if taken >= size:
            return
