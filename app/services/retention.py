"""Deletes what has been kept for as long as the settings say: lists and PDFs of runs, edits, licence files.

Everything goes in transactions of one run, one batch or one district's files, so it may be done by several at
once, twice, or be broken off anywhere.
"""

import asyncio
import time
from datetime import datetime, timedelta
from functools import partial

import structlog

from app.database import Database
from app.failures import RunFailure
from app.services.chores import for_each_district
from app.settings import Settings
from app.storage import expiry, file_removals, import_files
from app.storage.download_folder import key
from app.storage.file_store import FileStore
from app.storage.run_reports import pdf_key, report_key

LOOK = 40.0
"""Seconds after which the rest is left to the next time; the chore's own limit is a minute."""

log = structlog.get_logger()


class Retention:
    """The use cases of expiry; one object serves a whole process."""

    def __init__(self, database: Database, settings: Settings, files: FileStore) -> None:
        self._database = database
        self._settings = settings
        self._files = files

    async def forget(self, now: datetime) -> None:
        """Delete what is over, of all districts, the most urgent first; what there is no time for, later."""
        until = time.monotonic() + LOOK
        await for_each_district(self._database, partial(self._forget_stored, now=now), until)
        await for_each_district(self._database, partial(self._forget_rows, now=now, until=until), until)

    async def _forget_stored(self, district_id: str, now: datetime) -> None:
        await self._forget_files(district_id, now)
        await self.remove_files(district_id, now)

    async def _forget_rows(self, district_id: str, now: datetime, until: float) -> None:
        lists = await self._forget_lists(district_id, now, until)
        edits = await self._forget_edits(district_id, now, until)
        await self.remove_files(district_id, now)
        if lists or edits:
            log.info("expired", district=district_id, runs=lists, edits=edits)

    async def remove_files(self, district_id: str, now: datetime) -> None:
        """Remove the stored files that are to go; what the store does not let us remove goes later."""
        while True:
            async with self._database.read() as session:
                keys = await file_removals.due(await session.connection(), district_id, now)
            if not keys:
                return
            try:
                await self._files.remove(*keys)
            except RunFailure as failure:
                log.warning("stored_file_not_removed", reason=failure.diagnosis.get("error"))
                return
            async with self._database.write() as session:
                await file_removals.done(await session.connection(), district_id, keys)

    async def _forget_lists(self, district_id: str, now: datetime, until: float) -> int:
        before = now - timedelta(days=self._settings.report_days)
        number = 0
        while time.monotonic() < until:
            async with self._database.write() as session:
                connection = await session.connection()
                run = await expiry.next_run(connection, district_id, before)
                if run is None:
                    break
                if await expiry.expire_lists(connection, district_id, run.id, now):
                    # A release before knows the first name alone, and may have put one there since.
                    pdfs = {report_key(run.id), pdf_key(run)}
                    await file_removals.promise(connection, district_id, pdfs, now)
                    number += 1
            await asyncio.sleep(0)  # other jobs of the worker share this loop
        return number

    async def _forget_edits(self, district_id: str, now: datetime, until: float) -> int:
        before = now - timedelta(days=self._settings.edit_days)
        total = 0
        while time.monotonic() < until:
            async with self._database.write() as session:
                number = await expiry.forget_edits(await session.connection(), district_id, before)
            total += number
            if number < expiry.BATCH:
                break
        return total

    async def _forget_files(self, district_id: str, now: datetime) -> None:
        settings = self._settings
        async with self._database.write() as session:
            connection = await session.connection()
            old = await expiry.old_files(
                connection,
                district_id,
                now - timedelta(days=settings.retained_file_days),
                now - timedelta(days=settings.quarantine_days),
            )
            await import_files.remove(connection, district_id, [file.id for file in old])
            keys = [key(district_id, file.stored_as, file.state) for file in old]
            await file_removals.promise(connection, district_id, keys, now)
        if old:
            log.info("files_expired", district=district_id, number=len(old))
