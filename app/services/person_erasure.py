"""The erasure of one person from everything that is stored but the records of others, figures and backups.

What is slow, the search, was done before without locks. The erasure is one transaction, in which what came
meanwhile is searched as well, under the import lock and the guard; files go after it, by a promise that it
commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import AuditAction, AuditRecord, EmployeeStatus
from app.database import Database, take_guard
from app.errors import ConflictError, RunInProgressError
from app.failures import RunFailure
from app.import_lock import ImportLock, lock_lost
from app.models import ImportFile
from app.models.base import utc_now
from app.pipeline import person_findings
from app.pipeline.person import Person
from app.pipeline.person_findings import Mention
from app.services.personal_data import Found, PersonalData, identify
from app.services.retention import Retention
from app.services.run_reporting import STRAY_AGE, report_lease
from app.settings import Settings
from app.storage import audit_events, districts, file_removals, import_files, person_rows
from app.storage.audit_events import Change
from app.storage.download_folder import DownloadFolder, key
from app.storage.file_store import FileStore
from app.storage.holdings import HOLDINGS
from app.storage.run_reports import pdf_key
from app.storage.versions import edits_moved, roster_moved

TRIES = 3
"""How often everything is searched again because an import ended meanwhile."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Wish:
    """What an erasure may do: `delete_files` None means that nobody has said."""

    even_if_active: bool = False
    delete_files: bool | None = None


class PersonErasure:
    """The use case; one object serves a whole process."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        files: FileStore,
        lock: ImportLock,
        data: PersonalData,
        retention: Retention,
    ) -> None:
        self._database = database
        self._downloads = DownloadFolder(files)
        self._lock = lock
        self._data = data
        self._retention = retention
        self._lease = report_lease(settings)
        self._storing = timedelta(seconds=settings.storage_transfer_timeout)

    async def erase(self, found: Found, wish: Wish) -> Found:
        """Erase the person and return what was found of them last, which is what is gone.

        May be typed again after anything: what is half done does not exist, and files that were to go are
        removed by the next one, or by a worker. Raises ConflictError for an active employee, when it was not
        said what becomes of kept files, or when the number or id became another's meanwhile;
        RunInProgressError while a run of the district is in progress.
        """
        district_id = found.person.district_id
        await self._remove_files(district_id)
        for _ in range(TRIES):
            if not found.anything:
                await self._empty_log()  # which readers may have kept from whoever erased before
                return found
            _check(found, wish)
            if await self._erase(found, wish):
                log.info("person_erased", district=district_id, lines=len(found.mentions))
                await self._remove_files(district_id)
                await self._empty_log()
                return found
            again = await self._data.find(district_id, *found.asked)
            _check_same(found.identified[0], again.identified[0])
            found = again
        raise ConflictError("Imports ended again and again meanwhile. Nothing was erased; type it again.")

    async def _empty_log(self) -> None:
        if not await self._database.empty_log():
            log.warning("sqlite_log_not_emptied")

    async def _remove_files(self, district_id: str) -> None:
        """Remove what is to go, and what a run that was killed left in the folder of kept files."""
        await self._retention.remove_files(district_id, utc_now())
        async with self._database.read() as session:
            known = await import_files.known(await session.connection(), district_id)
        try:
            await self._downloads.remove_strays(district_id, known, STRAY_AGE)
        except RunFailure as failure:
            log.warning("not_tidied", code=failure.code)

    async def _erase(self, found: Found, wish: Wish) -> bool:
        """Erase in one transaction; False, and nothing is erased, when it has to be searched again."""
        person, now = found.person, utc_now()
        async with (
            self._lock.held(person.district_id, None, uuid4()) as lock,
            self._database.write() as session,
        ):
            connection = await session.connection()
            await take_guard(connection, person.district_id, shared=False)
            await districts.lock(session, person.district_id)
            if run_id := await person_rows.run_in_progress(connection, person.district_id):
                raise RunInProgressError(
                    f"The run {run_id} of the district is in progress. Nothing was erased; wait for its end."
                )
            kept = await import_files.known(connection, person.district_id)
            searched = {one.file.id for one in found.files}
            moved = await identify(connection, person.district_id, *found.asked) != found.identified
            if moved or not searched.issuperset(file.id for file in kept):
                return False
            async for _, some in person_findings.mentions(connection, person, found.last_finding):
                found.mentions += some
            await person_findings.take_out(connection, person, found.mentions)
            await self._redo_reports(connection, person.district_id, found.mentions, now)
            if wish.delete_files:
                naming = {one.file.id for one in found.naming_files}
                await self._let_go(connection, [file for file in kept if file.id in naming], now)
            for holding in HOLDINGS:
                await holding.erase(connection, found.whose)
            erased = Change(AuditAction.ERASED, AuditRecord.EMPLOYEE, None, found.counts())
            await audit_events.record(connection, person.district_id, erased)
            await roster_moved(connection, person.district_id)
            await edits_moved(connection, person.district_id)
            if await lock.is_anothers():
                raise lock_lost()
        return True

    async def _redo_reports(
        self, connection: AsyncConnection, district_id: str, mentions: Sequence[Mention], now: datetime
    ) -> None:
        """Let the PDFs that name the person go, and be made again of what is left.

        Who makes one just now finds that it is not wanted any more, and removes it; if they die, it goes
        later.
        """
        ids = {one.run_id for one in mentions}
        runs = await person_rows.runs(connection, district_id, ids)
        made = [pdf_key(run) for run in runs if run.report_pdf]
        begun = [pdf_key(run) for run in runs if run.report_pdf is None and run.report_tried_at]
        await file_removals.promise(connection, district_id, made, now)
        await file_removals.promise(connection, district_id, begun, now + self._lease + self._storing)
        await person_rows.mark_redacted(connection, district_id, ids, now)

    async def _let_go(self, connection: AsyncConnection, files: Sequence[ImportFile], now: datetime) -> None:
        for file in files:
            await import_files.remove(connection, file.district_id, [file.id])
            stored = key(file.district_id, file.stored_as, file.state)
            await file_removals.promise(connection, file.district_id, [stored], now)


def _check_same(before: Person, now: Person) -> None:
    """Refuse to erase anybody but whom the caller saw."""
    if (before.row_id, before.number) != (now.row_id, now.number):
        raise ConflictError(
            "Meanwhile this number or id became that of another employee, or of none. Nothing was erased; "
            "look without --yes who it is now."
        )


def _check(found: Found, wish: Wish) -> None:
    if found.status is EmployeeStatus.ACTIVE and not wish.even_if_active:
        raise ConflictError(
            "The employee is active, so the ERP would send them again, as a new employee. Set the status to "
            "`terminated` first, or say --even-if-active."
        )
    if found.naming_files and wish.delete_files is None:
        raise ConflictError(
            f"{len(found.naming_files)} kept licence files name the person, or may. They cannot be changed: "
            "say --delete-files to delete them, and without them an import has nothing to fall back on until "
            "the next file was imported; or --keep-files to leave them until they expire."
        )
