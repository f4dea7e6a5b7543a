"""What is stored of one person: an employee, a former one, or a licence holder of the state's files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import AuditAction, AuditRecord, EmployeeStatus
from app.database import Database
from app.errors import ConflictError, NotFoundError
from app.models import District, Run
from app.models.base import utc_now
from app.pipeline import person_findings
from app.pipeline.keys import educator_key
from app.pipeline.person import Grade, Person
from app.pipeline.person_files import Searched, search
from app.pipeline.person_findings import Mention
from app.services.run_execution import layout_of
from app.settings import Settings
from app.storage import audit_events, districts, import_files, person_rows
from app.storage.audit_events import Change
from app.storage.download_folder import DownloadFolder
from app.storage.file_store import FileStore
from app.storage.holdings import HOLDINGS, Whose
from app.storage.run_reports import pdf_key
from app.storage.scratch import scratch_directory

FORMAT = "certsync-person/1"


@dataclass
class Found:
    """Everything that is stored of a person; `asked` is how they were named, `identified` who that is."""

    asked: tuple[str | None, str | None]
    identified: tuple[Person, EmployeeStatus | None]
    person: Person
    rows: dict[str, list[dict[str, Any]]]
    mentions: list[Mention] = field(default_factory=list)
    last_finding: int = 0
    runs: list[Run] = field(default_factory=list)
    files: list[Searched] = field(default_factory=list)

    @property
    def status(self) -> EmployeeStatus | None:
        """Return the status of an employee who is still stored."""
        return self.identified[1]

    @property
    def whose(self) -> Whose:
        """Return what rows of tables are found by."""
        return Whose(self.person.district_id, self.person.row_id, self.person.number)

    @property
    def naming_files(self) -> list[Searched]:
        """Return the kept files in which the person stands, or may stand."""
        return [searched for searched in self.files if searched.may_name]

    def counts(self) -> dict[str, int]:
        """Return how much there is of what, for a person to read."""
        return {
            **{name.replace("_", " "): len(rows) for name, rows in self.rows.items()},
            "lines of run lists": len(self.mentions),
            "PDF reports": len(self.pdfs),
            "kept licence files": len(self.naming_files),
        }

    @property
    def anything(self) -> bool:
        """Whether there is anything at all."""
        return any(self.counts().values())

    @property
    def pdfs(self) -> list[Run]:
        """Return the runs whose PDF is stored and made of lines that name the person."""
        return [run for run in self.runs if run.report_pdf and run.lists_expired_at is None]


class PersonalData:
    """The use cases; one object serves a whole process."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        files: FileStore,
    ) -> None:
        self._database = database
        self._settings = settings
        self._files = files
        self._downloads = DownloadFolder(files)

    async def find(self, district_id: str, employee: str | None, educator_id: str | None = None) -> Found:
        """Return everything that is stored of a person.

        `employee` is the number of an employee, also of one who was deleted; `educator_id` is that of
        anybody in the state's files. Raises NotFoundError for an unknown district, ConflictError when
        several employees have the id, or when it was that of one who was deleted.
        """
        async with self._database.read() as session:
            district = await districts.find(session, district_id)
            if district is None:
                raise NotFoundError(f"There is no district {district_id!r}.")
            connection = await session.connection()
            identified = await identify(connection, district_id, employee, educator_id)
            person = await _with_former(connection, identified[0])
        person, mentions, last = await self._mentions(person)
        found = Found((employee, educator_id), identified, person, {}, mentions, last)
        async with self._database.read() as session:
            connection = await session.connection()
            found.rows = {one.name: await one.rows(connection, found.whose) for one in HOLDINGS}
            found.runs = await person_rows.runs(connection, district_id, {one.run_id for one in mentions})
        found.files = await self._search_files(district, person)
        return found

    async def _mentions(self, person: Person) -> tuple[Person, list[Mention], int]:
        """Search the lists until they teach no further name of the person."""
        while True:
            last = 0
            mentions: list[Mention] = []
            async with self._database.read() as session:
                connection = await session.connection()
                others = await person_rows.others_keys(
                    connection, person.district_id, person.educator_keys, person.row_id
                )
                known = person = person.doubting(others)
                async for seen, some in person_findings.mentions(connection, known):
                    last = seen
                    mentions += some
            for one in reversed(mentions):  # the newest knows best
                person = person_findings.learn(person, one)
            if person == known:
                return person, mentions, last

    async def _search_files(self, district: District, person: Person) -> list[Searched]:
        async with self._database.read() as session:
            kept = await import_files.known(await session.connection(), district.id)
        layout = layout_of(district)
        searched = []
        for file in kept:
            with scratch_directory(self._settings) as scratch:
                searched.append(await search(self._downloads, file, layout, person, scratch))
        return searched

    async def export(self, found: Found) -> dict[str, Any]:
        """Return what was found as one JSON document; of others who stand beside the person, only counts.

        The audit trail tells who took it.
        """
        person = found.person
        taken = Change(
            AuditAction.EXPORTED, AuditRecord.EMPLOYEE, person.number, employee_number=person.number
        )
        async with self._database.write() as session:
            await audit_events.record(await session.connection(), person.district_id, taken)
        ended = {run.id: run.ended_at for run in found.runs}
        sure = [one for one in found.mentions if one.grade is Grade.ID]
        document: dict[str, Any] = _plain(
            {
                "format": FORMAT,
                "district": person.district_id,
                "made_at": utc_now(),
                "employee_number": person.number,
                "educator_ids": sorted(person.educator_keys),
                "educator_ids_in_doubt": sorted(person.doubtful_keys),
                **found.rows,
                "run_lists": [
                    {
                        "run_id": one.run_id,
                        "run_ended": ended.get(one.run_id),
                        "list": one.kind,
                        "line": person_findings.shown(person, one),
                    }
                    for one in sure
                ],
                "run_lists_same_name_only": len(found.mentions) - len(sure),
                "pdf_reports": [
                    {"run_id": run.id, "stored_at": self._files.address(pdf_key(run))} for run in found.pdfs
                ],
                "licence_files": [
                    {
                        "name": one.file.name,
                        "sha256": one.file.sha256,
                        "state": one.file.state,
                        "fetched_at": one.file.fetched_at,
                        "unreadable": one.unreadable,
                        "lines": one.lines,
                        "same_name_only_in_lines": one.same_name,
                    }
                    for one in found.naming_files
                ],
            }
        )
        return document


async def identify(
    connection: AsyncConnection, district_id: str, employee: str | None, educator_id: str | None
) -> tuple[Person, EmployeeStatus | None]:
    """Return who is meant: an employee who is stored, or else the bare number or id.

    A number is never taken for an Educator ID: once its employee is erased, it may be somebody else's.
    """
    known = await person_rows.employees(connection, district_id, employee, educator_key(educator_id))
    if len(known) > 1:
        numbers = ", ".join(sorted(one.employee_number for one in known))
        raise ConflictError(f"Several employees have this Educator ID: give the number of one ({numbers}).")
    if known:
        return Person.of(known[0]), known[0].status
    if employee:
        return Person(district_id, number=employee), None
    key = educator_key(educator_id)
    if key and (former := await _former_numbers(connection, district_id, key)):
        listed = ", ".join(sorted(former))
        raise ConflictError(
            f"This was the Educator ID of an employee who was deleted: give the number ({listed})."
        )
    return Person(district_id).with_id(educator_id), None


async def _former_numbers(connection: AsyncConnection, district_id: str, key: str) -> set[str]:
    """Return the numbers of deleted employees who had this id: more is stored under them than under it."""
    deleted = await person_rows.deleted(connection, district_id)
    numbers = {number for number, known_id in deleted if educator_key(known_id) == key}
    numbers |= await person_findings.numbers_with_id(connection, district_id, key)
    return numbers - await person_rows.stored_numbers(connection, district_id, numbers)


async def _with_former(connection: AsyncConnection, person: Person) -> Person:
    """Return the person with what the audit trail knows of them; of one who was deleted, with the last id."""
    records = await person_rows.former_records(connection, person.district_id, person.number)
    ids = [record["state_staff_id"] for record in records if "state_staff_id" in record]
    if person.row_id is None and ids:
        person = person.with_id(ids[-1])
    for record in records:
        person = person.learn_record(record)
    return person


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    match value:
        case Mapping():
            return {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case datetime() | date():
            return value.isoformat().replace("+00:00", "Z")
        case UUID():
            return str(value)
    return value
