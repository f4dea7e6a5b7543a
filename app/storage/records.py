"""Queries on certifications and endorsements, as callers see them: with public ids and employee numbers."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import Certification, Employee, Endorsement
from app.storage.filters import any_of, between, containing, exact, named
from app.storage.pages import OF_DISTRICT, Listing, Page, PageRequest, fetch_page

certification = Certification.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
endorsement = Endorsement.__table__  # type: ignore[attr-defined] # same
employee = Employee.__table__  # type: ignore[attr-defined] # same

_SHARED = (
    "issue_date",
    "expiration_date",
    "source",
    "run_id",
    "updated_by",
    "updated_at",
    "version",
)


_CERTIFICATIONS = sa.select(
    certification.c.public_id.label("id"),
    employee.c.employee_number,
    *(certification.c[name] for name in ("license_number", "license_type", "status", *_SHARED)),
).join(employee, employee.c.id == certification.c.employee_id)
_ENDORSEMENTS = (
    sa.select(
        endorsement.c.public_id.label("id"),
        certification.c.public_id.label("certification_id"),
        employee.c.employee_number,
        endorsement.c.is_primary.label("primary"),
        *(endorsement.c[name] for name in ("code", "description", "limitation", *_SHARED)),
    )
    .join(certification, certification.c.id == endorsement.c.certification_id)
    .join(employee, employee.c.id == endorsement.c.employee_id)
)

# By public id: the unique index on (district, public id) then finds a page at any depth.
CERTIFICATIONS = Listing(
    name="certifications",
    rows=_CERTIFICATIONS.where(certification.c.district_id == OF_DISTRICT),
    key=(certification.c.public_id,),
    default="id",
    sortable=named(
        employee.c.employee_number,
        certification.c.license_number,
        certification.c.license_type,
        certification.c.status,
        certification.c.issue_date,
        certification.c.expiration_date,
        certification.c.source,
        certification.c.updated_by,
        certification.c.updated_at,
        id=certification.c.public_id,
    ),
    filters={
        **exact(employee.c.employee_number, certification.c.license_number, certification.c.license_type),
        **exact(certification.c.run_id, certification.c.updated_by),
        **any_of(certification.c.status, certification.c.source),
        **between(
            issued=certification.c.issue_date,
            expires=certification.c.expiration_date,
            updated=certification.c.updated_at,
        ),
    },
    searched=(
        employee.c.employee_number,
        certification.c.license_number,
        certification.c.license_type,
        certification.c.status,
        certification.c.source,
        certification.c.updated_by,
    ),
)
ENDORSEMENTS = Listing(
    name="endorsements",
    rows=_ENDORSEMENTS.where(endorsement.c.district_id == OF_DISTRICT),
    key=(endorsement.c.public_id,),
    default="id",
    sortable=named(
        employee.c.employee_number,
        endorsement.c.code,
        endorsement.c.description,
        endorsement.c.limitation,
        endorsement.c.issue_date,
        endorsement.c.expiration_date,
        endorsement.c.source,
        endorsement.c.updated_by,
        endorsement.c.updated_at,
        id=endorsement.c.public_id,
        certification_id=certification.c.public_id,
        primary=endorsement.c.is_primary,
    ),
    filters={
        **exact(employee.c.employee_number, endorsement.c.run_id, endorsement.c.updated_by),
        **exact(certification_id=certification.c.public_id, primary=endorsement.c.is_primary),
        **any_of(endorsement.c.code, endorsement.c.source),
        **containing(endorsement.c.description, endorsement.c.limitation),
        **between(
            issued=endorsement.c.issue_date,
            expires=endorsement.c.expiration_date,
            updated=endorsement.c.updated_at,
        ),
    },
    searched=(
        employee.c.employee_number,
        endorsement.c.code,
        endorsement.c.description,
        endorsement.c.limitation,
        endorsement.c.source,
        endorsement.c.updated_by,
    ),
)

_ONE_CERTIFICATION = CERTIFICATIONS.rows.where(certification.c.public_id == sa.bindparam("public_id"))
_ONE_ENDORSEMENT = ENDORSEMENTS.rows.where(endorsement.c.public_id == sa.bindparam("public_id"))


async def certifications_page(
    connection: AsyncConnection, district_id: str, request: PageRequest
) -> Page[sa.Row[Any]]:
    """Return a page of certifications; rows have api.md's names."""
    return await fetch_page(connection, CERTIFICATIONS, district_id, request)


async def endorsements_page(
    connection: AsyncConnection, district_id: str, request: PageRequest
) -> Page[sa.Row[Any]]:
    """Return a page of endorsements; rows have api.md's names."""
    return await fetch_page(connection, ENDORSEMENTS, district_id, request)


async def find_certification(session: AsyncSession, district_id: str, public_id: UUID) -> sa.Row[Any] | None:
    """Return the certification of this public id, or None."""
    return await _find(session, _ONE_CERTIFICATION, district_id, public_id)


async def find_endorsement(session: AsyncSession, district_id: str, public_id: UUID) -> sa.Row[Any] | None:
    """Return the endorsement of this public id, or None."""
    return await _find(session, _ONE_ENDORSEMENT, district_id, public_id)


async def _find(session: AsyncSession, query: Any, district_id: str, public_id: UUID) -> sa.Row[Any] | None:
    values = {OF_DISTRICT.key: district_id, "public_id": public_id}
    return (await (await session.connection()).execute(query, values)).one_or_none()
