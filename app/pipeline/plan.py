"""What a run is going to write, worked out before the lock; and again, as far as needed, when data moved.

Two counters of the district tell what moved (`app/storage/versions.py`): the roster, then the people have to
be matched again; or records, by an edit, then only the difference to them has to be found again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FindingKind
from app.models import District
from app.pipeline import match
from app.pipeline.difference import Difference, find_differences
from app.pipeline.fetch import FetchedFile
from app.pipeline.findings import PEOPLE_LISTS, RECORD_LISTS, write_people_lists, write_record_lists
from app.pipeline.guard import check_rejected, check_shrink
from app.pipeline.known_people import known_people
from app.pipeline.layout import Layout
from app.pipeline.match import keep_primary_choices
from app.pipeline.near_misses import find_near_misses
from app.pipeline.parse import LicenceFile, RowCounts
from app.pipeline.replace import any_pending_edits
from app.pipeline.stage import stage
from app.pipeline.summary import shrinkage, summarise
from app.settings import Settings
from app.storage import statistics
from app.storage.run_findings import FindingWriter
from app.storage.versions import data_versions


class Moved(StrEnum):
    """What changed since a plan was made."""

    ROSTER = "roster"
    EDITS = "edits"


@dataclass
class Plan:
    """The wanted records and the changes to them, in temporary tables of `connection`, and their figures.

    `progress` is told the bytes of the file that were read, and their total.
    """

    connection: AsyncConnection
    district: District
    layout: Layout
    settings: Settings
    writer: FindingWriter
    accept_shrink: bool
    progress: Callable[[int, int], None]
    roster_version: int = -1
    edit_version: int = -1
    rows_matched: int | None = None
    counts: RowCounts = field(default_factory=RowCounts)
    totals: dict[FindingKind, int] = field(default_factory=dict)
    differences: tuple[Difference, Difference] = field(init=False)
    edits_pending: bool = False
    summary: dict[str, Any] = field(default_factory=dict)

    async def read(self, file: FetchedFile, *, everybody: bool = False) -> None:
        """Stage the rows of the file that may be ours; with `everybody` also those of strangers.

        The latter stays right when employees change before `match`. Raises RunFailure for a file that cannot
        be read, or of which too much cannot.
        """
        await self.writer.forget((FindingKind.REJECTED,))
        await statistics.know_tables(self.connection)
        await self.connection.commit()
        self.roster_version, _ = await data_versions(self.connection, self.district.id)
        known = None if everybody else await known_people(self.connection, self.district.id)
        self.rows_matched = None
        await match.begin(self.connection)
        # SQLite is this process itself: it gains nothing by matching while the file is read.
        in_pieces = not everybody and self.connection.dialect.name == "postgresql"
        # Its head is found by one look at all of it, which takes seconds for gigabytes.
        with await asyncio.to_thread(LicenceFile, file.path, self.layout) as licence_file:
            self.counts = await stage(
                self.connection,
                licence_file,
                known,
                self.writer,
                lambda done: self.progress(done, file.size),
                self._match_rows if in_pieces else None,
            )
        check_rejected(self.counts, self.settings.max_rejected_percent)

    async def match(self) -> None:
        """Find out whose the rows are, and which records the district should hold."""
        await self.writer.forget(PEOPLE_LISTS)
        if self.rows_matched is None:
            await self._match_rows()
        await match.finish(self.connection, self.district.id, self.layout.statuses)
        await find_near_misses(self.connection, self.district.id)
        today = datetime.now(ZoneInfo(self.district.timezone)).date()
        self.totals |= await write_people_lists(self.connection, self.writer, self.district.id, today)

    async def _match_rows(self, first: int = 0) -> None:
        matched = await match.match_rows(self.connection, self.district.id, self.layout.statuses, first)
        self.rows_matched = (self.rows_matched or 0) + matched

    async def compare(self) -> None:
        """Find what differs from the records that the district holds, and the figures of all of it.

        Raises TooMuchShrink when too many employees would lose every certification.
        """
        await self.writer.forget(RECORD_LISTS)
        district_id = self.district.id
        _, self.edit_version = await data_versions(self.connection, district_id)
        await keep_primary_choices(self.connection, district_id)
        self.differences = await find_differences(self.connection, district_id)
        self.edits_pending = await any_pending_edits(self.connection, district_id)
        self.totals |= await write_record_lists(self.connection, self.writer, district_id)
        holders, lost = await shrinkage(self.connection, district_id)
        await self.writer.flush()
        check_shrink(holders, lost, self.settings.max_shrink_percent, accepted=self.accept_shrink)
        self.summary = await summarise(
            self.connection, district_id, self.counts, self.rows_matched or 0, self.differences, self.totals
        )

    async def moved(self) -> Moved | None:
        """Tell whether the plan is out of date; final only under the district's guard."""
        roster, edits = await data_versions(self.connection, self.district.id)
        if roster != self.roster_version:
            return Moved.ROSTER
        return Moved.EDITS if edits != self.edit_version else None
