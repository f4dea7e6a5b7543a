"""Certifications: read, and written by HR while no import replaces them."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import RecordKind
from app.database import Database
from app.errors import NotFoundError
from app.services.idempotency import NO_KEY, Once
from app.services.preconditions import check_if_match
from app.services.record_changes import (
    BY_HAND,
    Fields,
    changes_of,
    check_dates,
    exists_already,
    finish,
    invalid,
    stamp,
)
from app.services.record_editing import RecordEditing
from app.storage import record_writes, records, roster
from app.storage.pages import Page, PageRequest
from app.storage.record_edits import Edit
from app.storage.record_ids import certification_id as public_id_of
from app.storage.records import certification

CERTIFICATION = RecordKind.CERTIFICATION
IDENTITY = ("employee_number", "license_number", "license_type")
"""What makes a licence that licence; its public id is a hash of them."""


class CertificationService:
    """The use cases of certifications; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database, editing: RecordEditing) -> None:
        self._database = database
        self._editing = editing

    async def page(self, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
        """Return a page of certifications."""
        async with self._database.look() as connection:
            return await records.certifications_page(connection, district_id, request)

    async def get(self, district_id: str, certification_id: UUID) -> sa.Row[Any]:
        """Return the certification of this public id; raises NotFoundError."""
        async with self._database.read() as session:
            return await _find(session, district_id, certification_id)

    async def create(self, district_id: str, user: str, fields: Fields, once: Once = NO_KEY) -> sa.Row[Any]:
        """Add a certification of an employee, active or not; `fields` are those that a caller gives.

        Raises CertificationUpdateInProgressError, ValidationFailedError for an unknown employee or dates
        in the wrong order, and ConflictError when it exists.
        """
        async with self._editing.transaction(district_id) as session:
            await once.begin(session)
            await roster.open_roster(session, district_id)
            check_dates(fields, {})
            number, *licence = (fields[name] for name in IDENTITY)
            employee = await roster.find_employee(session, district_id, number)
            if employee is None:
                raise invalid("employee_number", "is nobody's in your district; add the employee", "unknown")
            public_id = public_id_of(district_id, number, *licence)
            if await records.find_certification(session, district_id, public_id):
                raise exists_already("certifications", public_id)
            content = {name: value for name, value in fields.items() if name != "employee_number"}
            values = {"public_id": public_id, "employee_id": employee.id, **content, **BY_HAND}
            await record_writes.insert_certification(
                session, district_id, values | await stamp(session, user)
            )
            row = await _find(session, district_id, public_id)
            await finish(session, district_id, user, Edit(CERTIFICATION, row, None, row))
            await once.end(session, row)
            return row

    async def change(
        self,
        district_id: str,
        user: str,
        certification_id: UUID,
        fields: Fields,
        if_match: str | None,
    ) -> sa.Row[Any]:
        """Change the given fields of a certification; what changes nothing is not written.

        Raises CertificationUpdateInProgressError, NotFoundError, PreconditionFailedError, and
        ValidationFailedError for a field of the identity or dates in the wrong order.
        """
        async with self._editing.transaction(district_id) as session:
            await roster.open_roster(session, district_id)
            before = await _find(session, district_id, certification_id)
            check_if_match(if_match, before.version)
            stored = before._asdict()
            changes = changes_of(fields, stored, IDENTITY)
            if not changes:
                return before
            check_dates(changes, stored)
            values = changes | BY_HAND | await stamp(session, user)
            await record_writes.update(session, certification, district_id, certification_id, values)
            after = await _find(session, district_id, certification_id)
            await finish(session, district_id, user, Edit(CERTIFICATION, after, before, after))
            return after

    async def delete(self, district_id: str, user: str, certification_id: UUID, if_match: str | None) -> None:
        """Remove a certification and its endorsements.

        Raises CertificationUpdateInProgressError, NotFoundError and PreconditionFailedError.
        """
        async with self._editing.transaction(district_id) as session:
            await roster.open_roster(session, district_id)
            row = await _find(session, district_id, certification_id)
            check_if_match(if_match, row.version)
            gone = await record_writes.endorsements_of(session, district_id, certification_id)
            await record_writes.delete(session, certification, district_id, certification_id)
            edits = [Edit(RecordKind.ENDORSEMENT, row, each, None) for each in gone]
            await finish(session, district_id, user, *edits, Edit(CERTIFICATION, row, row, None))


async def _find(session: AsyncSession, district_id: str, certification_id: UUID) -> sa.Row[Any]:
    row = await records.find_certification(session, district_id, certification_id)
    if row is None:
        raise NotFoundError(f"There is no certification {certification_id} in your district.")
    return row
