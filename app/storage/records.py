"""Queries on certifications and endorsements, as callers see them: with public ids and employee numbers."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import Certification, Employee, Endorsement
from app.storage.pages import Order, Page, PageRequest, fetch_page

certification = Certification.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
endorsement = Endorsement.__table__  # type: ignore[attr-defined] # same
employee = Employee.__table__  # type: ignore[attr-defined] # same

# By public id: the unique index on (district, public id) then finds a page at any depth.
CERTIFICATIONS_IN_ORDER = Order("certifications", (certification.c.public_id,))
ENDORSEMENTS_IN_ORDER = Order("endorsements", (endorsement.c.public_id,))

_SHARED = (
    "issue_date",
    "expiration_date",
    "source",
    "run_id",
    "updated_by",
    "updated_at",
    "version",
)


def _certifications(district_id: str) -> Any:
    return (
        sa.select(
            certification.c.public_id.label("id"),
            employee.c.employee_number,
            *(certification.c[name] for name in ("license_number", "license_type", "status", *_SHARED)),
        )
        .join(employee, employee.c.id == certification.c.employee_id)
        .where(certification.c.district_id == district_id)
    )


def _endorsements(district_id: str) -> Any:
    return (
        sa.select(
            endorsement.c.public_id.label("id"),
            certification.c.public_id.label("certification_id"),
            employee.c.employee_number,
            endorsement.c.is_primary.label("primary"),
            *(endorsement.c[name] for name in ("code", "description", "limitation", *_SHARED)),
        )
        .join(certification, certification.c.id == endorsement.c.certification_id)
        .join(employee, employee.c.id == endorsement.c.employee_id)
        .where(endorsement.c.district_id == district_id)
    )


def _of_employee(query: Any, number: str | None) -> Any:
    return query if number is None else query.where(employee.c.employee_number == number)


async def certifications_page(
    session: AsyncSession, district_id: str, request: PageRequest, employee_number: str | None
) -> Page[sa.Row[Any]]:
    """Return a page of certifications, of one employee or of all; rows have api.md's names."""
    query = _of_employee(_certifications(district_id), employee_number)
    return await fetch_page(session, query, CERTIFICATIONS_IN_ORDER, request)


async def endorsements_page(
    session: AsyncSession, district_id: str, request: PageRequest, employee_number: str | None
) -> Page[sa.Row[Any]]:
    """Return a page of endorsements, of one employee or of all; rows have api.md's names."""
    query = _of_employee(_endorsements(district_id), employee_number)
    return await fetch_page(session, query, ENDORSEMENTS_IN_ORDER, request)


async def find_certification(session: AsyncSession, district_id: str, public_id: UUID) -> sa.Row[Any] | None:
    """Return the certification of this public id, or None."""
    query = _certifications(district_id).where(certification.c.public_id == public_id)
    row: sa.Row[Any] | None = (await session.exec(query)).one_or_none()
    return row


async def find_endorsement(session: AsyncSession, district_id: str, public_id: UUID) -> sa.Row[Any] | None:
    """Return the endorsement of this public id, or None."""
    query = _endorsements(district_id).where(endorsement.c.public_id == public_id)
    row: sa.Row[Any] | None = (await session.exec(query)).one_or_none()
    return row
