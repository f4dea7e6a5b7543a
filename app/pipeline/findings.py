"""Writes the lists of a run's report: before the lock, under the run's attempt."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FindingKind
from app.pipeline import people_findings, record_findings
from app.storage.row_stream import Row
from app.storage.run_findings import FindingWriter


async def write_lists(
    connection: AsyncConnection, writer: FindingWriter, district_id: str, today: date
) -> dict[FindingKind, int]:
    """Store every list that matching gives and return how long each is; `today` is the district's date."""
    lists: dict[FindingKind, AsyncIterator[Row]] = {
        FindingKind.SKIPPED: people_findings.skipped(connection, district_id),
        FindingKind.OTHER_NAME: people_findings.other_names(connection, district_id),
        FindingKind.MISSING: people_findings.missing(connection, district_id),
        FindingKind.EXPIRED: people_findings.expired(connection, today),
        FindingKind.BLANK_DATES: record_findings.blank_dates(connection),
        FindingKind.DISAGREEMENT: record_findings.disagreements(connection),
        FindingKind.OVERWRITTEN: record_findings.overwritten(connection),
    }
    totals: dict[FindingKind, int] = {}
    for kind, items in lists.items():
        totals[kind] = await _write(writer, kind, items)
    return totals


async def _write(writer: FindingWriter, kind: FindingKind, items: AsyncIterator[dict[str, Any]]) -> int:
    total = 0
    async for item in items:
        await writer.add(kind, item)
        total += 1
    await writer.flush()
    return total
