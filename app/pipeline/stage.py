"""Reads the file into the staging table: one pass, in batches, rejected rows listed on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FindingKind
from app.pipeline.known_people import KnownPeople
from app.pipeline.parse import LicenceFile, LicenceRow, RowCounts
from app.storage import staging
from app.storage.run_findings import FindingWriter

LISTED_AT_LEAST = 100_000
"""Every rejected row of an acceptable file is listed; of a hopeless one this many are."""


async def stage(
    connection: AsyncConnection,
    file: LicenceFile,
    known: KnownPeople | None,
    writer: FindingWriter,
    progress: Callable[[int], None],
) -> RowCounts:
    """Fill `staged_row` with the importable rows that may be ours; return what the file had.

    Without `known`, any row may be. `progress` is told the bytes read. Raises RunFailure for a file that
    cannot be read.
    """
    await staging.create(connection, staging.staged_row)
    await staging.load(connection, _batches(file, known, writer, progress))
    await writer.flush()
    await staging.settle(connection, staging.staged_row)
    return file.counts


async def _batches(
    file: LicenceFile, known: KnownPeople | None, writer: FindingWriter, progress: Callable[[int], None]
) -> AsyncIterator[list[LicenceRow]]:
    for batch in file.batches(known.maybe if known else anybody):
        if file.counts.rejected <= max(LISTED_AT_LEAST, file.counts.read // 10):
            for rejection in batch.rejections:
                await writer.add(FindingKind.REJECTED, rejection._asdict())
        progress(batch.bytes_read)
        yield batch.rows
        await asyncio.sleep(0)  # the heartbeat shares this loop


def anybody(_educator_key: str, _name_key: str | None) -> bool:
    """Let every row pass."""
    return True
