"""Endorsements: read, and written by HR while no import replaces them."""

from itertools import count
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
from app.storage.record_edits import FIELDS, Edit
from app.storage.record_ids import endorsement_id as public_id_of
from app.storage.records import endorsement

ENDORSEMENT = RecordKind.ENDORSEMENT
IDENTITY = ("certification_id", "code", "employee_number")
"""What an endorsement keeps for ever."""
DISTINCT = ("issue_date", "expiration_date", "limitation")
"""What tells a certification's endorsements of one code apart (I4)."""


class EndorsementService:
    """The use cases of endorsements; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database, editing: RecordEditing) -> None:
        self._database = database
        self._editing = editing

    async def page(self, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
        """Return a page of endorsements."""
        async with self._database.look() as connection:
            return await records.endorsements_page(connection, district_id, request)

    async def get(self, district_id: str, endorsement_id: UUID) -> sa.Row[Any]:
        """Return the endorsement of this public id; raises NotFoundError."""
        async with self._database.read() as session:
            return await _find(session, district_id, endorsement_id)

    async def create(self, district_id: str, user: str, fields: Fields, once: Once = NO_KEY) -> sa.Row[Any]:
        """Add an endorsement to a certification; `fields` are those that a caller gives.

        Raises CertificationUpdateInProgressError, ValidationFailedError for an unknown certification, dates
        in the wrong order or a second primary, and ConflictError when it exists.
        """
        async with self._editing.transaction(district_id) as session:
            await once.begin(session)
            await roster.open_roster(session, district_id)
            check_dates(fields, {})
            licence = await records.find_certification(session, district_id, fields["certification_id"])
            if licence is None:
                text = "is not the id of a certification in your district; add the certification first"
                raise invalid("certification_id", text, "unknown")
            if fields.get("employee_number") not in (None, licence.employee_number):
                text = f"is not the holder of the certification, which is {licence.employee_number}"
                raise invalid("employee_number", text, "not_the_holder")
            held = await _of_code(session, district_id, licence.id, fields["code"])
            _check_distinct(held, fields)
            if fields["primary"]:
                await _check_primary(session, district_id, licence.employee_number)
            public_id = _free_id(licence.id, fields["code"], held)
            content = {name: fields[name] for name in ("code", *FIELDS[ENDORSEMENT])}
            values = {"public_id": public_id, "is_primary": fields["primary"], **content, **BY_HAND}
            await record_writes.insert_endorsement(
                session, district_id, licence.id, values | await stamp(session, user)
            )
            row = await _find(session, district_id, public_id)
            await finish(session, district_id, user, Edit(ENDORSEMENT, licence, None, row))
            await once.end(session, row)
            return row

    async def change(
        self,
        district_id: str,
        user: str,
        endorsement_id: UUID,
        fields: Fields,
        if_match: str | None,
    ) -> sa.Row[Any]:
        """Change the given fields of an endorsement; what changes nothing is not written.

        A choice of `primary` alone is no edit: the content stays the import's, if it is.

        Raises CertificationUpdateInProgressError, NotFoundError, PreconditionFailedError,
        ValidationFailedError for a field of the identity, dates in the wrong order or a second primary, and
        ConflictError when another of the certification would say the same.
        """
        async with self._editing.transaction(district_id) as session:
            await roster.open_roster(session, district_id)
            before = await _find(session, district_id, endorsement_id)
            check_if_match(if_match, before.version)
            stored = before._asdict()
            content = changes_of(fields, stored, IDENTITY)
            if not content:
                return before
            check_dates(content, stored)
            if not content.keys().isdisjoint(DISTINCT):
                held = await _of_code(session, district_id, before.certification_id, before.code)
                _check_distinct(held, stored | content)
            values = await stamp(session, user)
            if "primary" in content:
                values["is_primary"] = content.pop("primary")
                if values["is_primary"]:
                    await _check_primary(session, district_id, before.employee_number)
            if content:
                values |= content | BY_HAND
            await record_writes.update(session, endorsement, district_id, endorsement_id, values)
            after = await _find(session, district_id, endorsement_id)
            edit = Edit(ENDORSEMENT, await _licence(session, district_id, after), before, after)
            await finish(session, district_id, user, edit, only_primary=not content)
            return after

    async def delete(self, district_id: str, user: str, endorsement_id: UUID, if_match: str | None) -> None:
        """Remove an endorsement.

        Raises CertificationUpdateInProgressError, NotFoundError and PreconditionFailedError.
        """
        async with self._editing.transaction(district_id) as session:
            await roster.open_roster(session, district_id)
            row = await _find(session, district_id, endorsement_id)
            check_if_match(if_match, row.version)
            licence = await _licence(session, district_id, row)
            await record_writes.delete(session, endorsement, district_id, endorsement_id)
            await finish(session, district_id, user, Edit(ENDORSEMENT, licence, row, None))


async def _find(session: AsyncSession, district_id: str, endorsement_id: UUID) -> sa.Row[Any]:
    row = await records.find_endorsement(session, district_id, endorsement_id)
    if row is None:
        raise NotFoundError(f"There is no endorsement {endorsement_id} in your district.")
    return row


async def _licence(session: AsyncSession, district_id: str, row: sa.Row[Any]) -> sa.Row[Any]:
    licence = await records.find_certification(session, district_id, row.certification_id)
    assert licence is not None  # a foreign key
    return licence


async def _of_code(
    session: AsyncSession, district_id: str, certification_id: UUID, code: str
) -> list[sa.Row[Any]]:
    held = await record_writes.endorsements_of(session, district_id, certification_id)
    return [each for each in held if each.code == code]


def _check_distinct(held: list[sa.Row[Any]], fields: Fields) -> None:
    """Raise ConflictError when one of those `held` of the code has the same dates and limitation."""
    for each in held:
        if all(getattr(each, name) == fields[name] for name in DISTINCT):
            raise exists_already("endorsements", each.id)


async def _check_primary(session: AsyncSession, district_id: str, employee_number: str) -> None:
    if present := await record_writes.primary_of(session, district_id, employee_number):
        text = f"is true of one endorsement an employee, of {present} now; make it false there first"
        raise invalid("primary", text, "second_primary")


def _free_id(certification_id: UUID, code: str, held: list[sa.Row[Any]]) -> UUID:
    """Return the id of the smallest ordinal that none of those `held` of the code has."""
    taken = {each.id for each in held}
    ids = (public_id_of(certification_id, code, ordinal) for ordinal in count(1))
    return next(each for each in ids if each not in taken)
