"""Writes the lists of a run's report: before the lock, under the run's attempt.

Two groups, because an edit by hand makes only the second out of date: the lists of people follow from the
file and the roster, the lists of records from the difference to what the district holds. Who asks for them
has to flush the writer in the end.
"""

from collections.abc import AsyncIterator
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FindingKind
from app.pipeline import changes, people_findings, record_findings
from app.storage.row_stream import Row
from app.storage.run_findings import FindingWriter

PEOPLE_LISTS = (
    FindingKind.SKIPPED,
    FindingKind.OTHER_NAME,
    FindingKind.MISSING,
    FindingKind.EXPIRED,
    FindingKind.BLANK_DATES,
    FindingKind.DISAGREEMENT,
)
RECORD_LISTS = (FindingKind.OVERWRITTEN, FindingKind.CHANGE)


async def write_people_lists(
    connection: AsyncConnection, writer: FindingWriter, district_id: str, today: date
) -> dict[FindingKind, int]:
    """Store what matching gives and return the length of each of `PEOPLE_LISTS`.

    `today` is the district's date.
    """
    return await _write(
        writer,
        {
            FindingKind.SKIPPED: people_findings.skipped(connection, district_id),
            FindingKind.OTHER_NAME: people_findings.other_names(connection, district_id),
            FindingKind.MISSING: people_findings.missing(connection, district_id),
            FindingKind.EXPIRED: people_findings.expired(connection, today),
            FindingKind.BLANK_DATES: record_findings.blank_dates(connection),
            FindingKind.DISAGREEMENT: record_findings.disagreements(connection),
        },
    )


async def write_record_lists(
    connection: AsyncConnection, writer: FindingWriter, district_id: str
) -> dict[FindingKind, int]:
    """Store what the change tables give and return the length of each of `RECORD_LISTS`."""
    return await _write(
        writer,
        {
            FindingKind.OVERWRITTEN: changes.overwritten(connection, district_id),
            FindingKind.CHANGE: changes.changes(connection, district_id),
        },
    )


async def _write(
    writer: FindingWriter, lists: dict[FindingKind, AsyncIterator[Row]]
) -> dict[FindingKind, int]:
    totals: dict[FindingKind, int] = {}
    for kind, items in lists.items():
        total = 0
        async for item in items:
            await writer.add(kind, item)
            total += 1
        totals[kind] = total
    return totals
