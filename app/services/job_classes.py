"""Job classes: which kinds of position require a certification."""

from typing import Any

import sqlalchemy as sa
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import AuditAction, AuditRecord
from app.database import Database
from app.errors import ConflictError, NotFoundError
from app.models import JobClass
from app.services.preconditions import check_if_match
from app.storage import audit_events, roster
from app.storage.audit_events import Change
from app.storage.pages import Page, PageRequest
from app.storage.versions import next_version, roster_moved


class JobClassService:
    """The use cases of job classes; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
        """Return a page of job classes by code."""
        async with self._database.look() as connection:
            return await roster.job_classes_page(connection, district_id, request)

    async def get(self, district_id: str, code: str) -> JobClass:
        """Return a job class; raises NotFoundError."""
        async with self._database.read() as session:
            return await _find(session, district_id, code)

    async def put(
        self, district_id: str, code: str, title: str, required: bool, if_match: str | None
    ) -> tuple[JobClass, bool]:
        """Add or replace a job class; the second result tells whether it was added.

        Raises PreconditionFailedError.
        """
        async with self._database.write() as session:
            await roster.open_roster(session, district_id)
            known = await roster.find_job_class(session, district_id, code)
            check_if_match(if_match, known.version if known else None)
            wanted = (title, required)
            if known is not None and (known.title, known.certification_required) == wanted:
                return known, False
            connection = await session.connection()
            before = _content(known.title, known.certification_required) if known else None
            stored = known or JobClass(district_id=district_id, code=code, version=0)
            stored.title, stored.certification_required = wanted
            stored.version = await next_version(connection)
            session.add(stored)
            await session.flush()
            action = AuditAction.CHANGED if known else AuditAction.ADDED
            change = Change(action, AuditRecord.JOB_CLASS, code, before, _content(*wanted))
            await audit_events.record(connection, district_id, change)
            await roster_moved(connection, district_id)
            return stored, known is None

    async def delete(self, district_id: str, code: str, if_match: str | None) -> None:
        """Remove a job class.

        Raises NotFoundError, PreconditionFailedError, and ConflictError while employees are in it.
        """
        async with self._database.write() as session:
            await roster.open_roster(session, district_id)
            stored = await _find(session, district_id, code)
            check_if_match(if_match, stored.version)
            if count := await roster.employees_in(session, district_id, code):
                raise ConflictError(f"{count} employees are in job class {code}. Move them to another first.")
            gone = _content(stored.title, stored.certification_required)
            await session.delete(stored)
            change = Change(AuditAction.DELETED, AuditRecord.JOB_CLASS, code, gone)
            await audit_events.record(await session.connection(), district_id, change)


async def _find(session: AsyncSession, district_id: str, code: str) -> JobClass:
    stored = await roster.find_job_class(session, district_id, code)
    if stored is None:
        raise NotFoundError(f"There is no job class {code} in your district.")
    return stored


def _content(title: str, required: bool) -> dict[str, Any]:
    return {"title": title, "certification_required": required}


def added_job_class(code: str) -> Change:
    """Return the event of a job class that an employee brought with them."""
    return Change(AuditAction.ADDED, AuditRecord.JOB_CLASS, code, None, _content("", required=False))
