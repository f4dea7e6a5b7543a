"""Employees: read, written one by one or in bulk, with the keys that licences are matched by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import AuditAction, AuditRecord
from app.database import Database
from app.errors import ConflictError, NotFoundError
from app.models import Employee
from app.models.base import utc_now
from app.pipeline.keys import educator_key, name_key
from app.services.idempotency import NO_KEY, Once
from app.services.job_classes import added_job_class
from app.services.preconditions import check_if_match
from app.storage import audit_events, roster
from app.storage.audit_events import Change
from app.storage.pages import Page, PageRequest
from app.storage.versions import next_version, roster_moved

Fields = Mapping[str, Any]
"""The columns of an employee that a caller gives, all of them: api.md, Employees, without `version`."""

FIELDS = (
    "employee_number",
    "state_staff_id",
    "last_name",
    "first_name",
    "middle_name",
    "legal_last_name",
    "legal_first_name",
    "former_last_name",
    "status",
    "job_class",
)
"""The names of `Fields`."""
READ = (
    "state_staff_id",
    "last_name",
    "first_name",
    "legal_last_name",
    "legal_first_name",
    "status",
    "job_class",
)
"""What an import reads of an employee; a change of anything else does not make it match again."""
content_of, read_of = itemgetter(*FIELDS), itemgetter(*READ)


@dataclass(frozen=True)
class Counts:
    """What became of the employees of a bulk write."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


class _Change(NamedTuple):
    """An employee as stored, in the row of this id, and as sent."""

    row_id: int
    before: Fields
    after: Fields


class EmployeeService:
    """The use cases of employees; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
        """Return a page of employees by number."""
        async with self._database.look() as connection:
            return await roster.employees_page(connection, district_id, request)

    async def get(self, district_id: str, number: str) -> Employee:
        """Return an employee; raises NotFoundError."""
        async with self._database.read() as session:
            return await _find(session, district_id, number)

    async def put(self, district_id: str, fields: Fields, if_match: str | None) -> tuple[Employee, bool]:
        """Add or replace an employee; the second result tells whether it was added.

        Raises PreconditionFailedError.
        """
        number = fields["employee_number"]
        async with self._database.write() as session:
            await roster.open_roster(session, district_id)
            known = await roster.find_employee(session, district_id, number)
            check_if_match(if_match, known.version if known else None)
            await _upsert(session, district_id, [fields])
            session.expire_all()
            return await _find(session, district_id, number), known is None

    async def put_all(self, district_id: str, items: Sequence[Fields], once: Once = NO_KEY) -> Counts:
        """Add or replace employees, all or none. `items` names each number once."""
        async with self._database.write() as session:
            await once.begin(session)
            await roster.open_roster(session, district_id)
            counts = await _upsert(session, district_id, items)
            await once.end(session, counts)
            return counts

    async def delete(self, district_id: str, number: str, if_match: str | None) -> None:
        """Remove an employee.

        Raises NotFoundError, PreconditionFailedError, and ConflictError for one who holds certifications.
        """
        async with self._database.write() as session:
            await roster.open_roster(session, district_id)
            employee = await _find(session, district_id, number)
            check_if_match(if_match, employee.version)
            if await roster.holds_certifications(session, employee.id):
                raise ConflictError(
                    f"Employee {number} holds certifications. Set the status to `terminated` instead, "
                    "or delete the certifications first."
                )
            gone = {name: getattr(employee, name) for name in FIELDS}
            await session.delete(employee)
            await session.flush()
            connection = await session.connection()
            await audit_events.record(
                connection, district_id, _audited(AuditAction.DELETED, number, gone, None)
            )
            await roster_moved(connection, district_id)


async def _find(session: AsyncSession, district_id: str, number: str) -> Employee:
    employee = await roster.find_employee(session, district_id, number)
    if employee is None:
        raise NotFoundError(f"There is no employee {number} in your district.")
    return employee


async def _upsert(session: AsyncSession, district_id: str, items: Sequence[Fields]) -> Counts:
    """Write what differs from what is stored, with one version for all; move the roster if anything did."""
    known = await roster.employees_by_number(
        session, district_id, [item["employee_number"] for item in items], FIELDS
    )
    added, changed = list[Fields](), list[_Change]()
    for item in items:
        stored = known.get(item["employee_number"])
        if stored is None:
            added.append(item)
        elif stored[1] != content_of(item):
            changed.append(_Change(stored[0], dict(zip(FIELDS, stored[1], strict=True)), item))
    if added or changed:
        connection = await session.connection()
        version = await next_version(connection)
        written = [*added, *(change.after for change in changed)]
        codes = {item["job_class"] for item in written if item["job_class"] is not None}
        classes = await roster.add_job_classes(session, district_id, codes, version)
        common = {"district_id": district_id, "version": version, "updated_at": utc_now()}
        await roster.insert_employees(session, [{**item, **_keys(item), **common} for item in added])
        await roster.update_employees(
            session,
            [{**item, **_keys(item), **common, "id": row_id} for row_id, _, item in changed],
        )
        await audit_events.record(
            connection,
            district_id,
            *(added_job_class(code) for code in classes),
            *(_audited(AuditAction.ADDED, item["employee_number"], None, item) for item in added),
            *(
                _audited(AuditAction.CHANGED, item["employee_number"], *audit_events.difference(before, item))
                for _, before, item in changed
            ),
        )
        if added or any(read_of(before) != read_of(item) for _, before, item in changed):
            await roster_moved(connection, district_id)
    return Counts(len(added), len(changed), len(items) - len(added) - len(changed))


def _audited(action: AuditAction, number: str, before: Fields | None, after: Fields | None) -> Change:
    return Change(action, AuditRecord.EMPLOYEE, number, before, after, number)


def _keys(item: Fields) -> dict[str, str | None]:
    """Return what I3 compares: the state knows people by their legal names."""
    return {
        "educator_key": educator_key(item["state_staff_id"]),
        "name_key": name_key(
            item["legal_last_name"] or item["last_name"], item["legal_first_name"] or item["first_name"]
        ),
    }
