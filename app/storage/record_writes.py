"""Writes of single certifications and endorsements, by public id.

Whoever calls these has opened the roster (`storage/roster.py`): the employee stays, and nobody else writes
records of the district meanwhile.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel.ext.asyncio.session import AsyncSession

from app.storage.records import certification, employee, endorsement

Values = Mapping[str, Any]
"""Columns by name."""
UPDATES = 100
"""Statements kept: one for each set of fields that are changed together."""


async def insert_certification(session: AsyncSession, district_id: str, values: Values) -> None:
    """Add a certification; `values` are all columns but `id` and the district."""
    statement = sa.insert(certification).values(district_id=district_id, **values)
    await (await session.connection()).execute(statement)


async def insert_endorsement(
    session: AsyncSession, district_id: str, certification_id: UUID, values: Values
) -> None:
    """Add an endorsement to the certification of this public id; `values` are the other columns."""

    def of_certification(column: sa.Column[Any]) -> sa.ScalarSelect[Any]:
        return sa.select(column).where(*_this(certification, district_id, certification_id)).scalar_subquery()

    statement = sa.insert(endorsement).values(
        district_id=district_id,
        certification_id=of_certification(certification.c.id),
        employee_id=of_certification(certification.c.employee_id),
        **values,
    )
    await (await session.connection()).execute(statement)


async def update(
    session: AsyncSession, table: sa.Table, district_id: str, public_id: UUID, values: Values
) -> None:
    """Change columns of the record of this public id."""
    names = {"this_district": district_id, "this_id": public_id}
    await (await session.connection()).execute(_update(table, tuple(values)), {**names, **values})


@lru_cache(UPDATES)
def _update(table: sa.Table, names: tuple[str, ...]) -> sa.Update:
    """Return the statement that sets these columns; it takes as long to make as to execute."""
    this = _this(table, sa.bindparam("this_district"), sa.bindparam("this_id"))
    return sa.update(table).where(*this).values({name: sa.bindparam(name) for name in names})


async def delete(session: AsyncSession, table: sa.Table, district_id: str, public_id: UUID) -> None:
    """Remove the record of this public id; the endorsements of a certification go with it."""
    statement = sa.delete(table).where(*_this(table, district_id, public_id))
    await (await session.connection()).execute(statement)


async def endorsements_of(
    session: AsyncSession, district_id: str, certification_id: UUID
) -> list[sa.Row[Any]]:
    """Return a certification's endorsements in the order of their keys, with api.md's names."""
    content = ("code", "description", "issue_date", "expiration_date", "limitation")
    query = (
        sa.select(endorsement.c.public_id.label("id"), *(endorsement.c[name] for name in content))
        .join(certification, certification.c.id == endorsement.c.certification_id)
        .where(*_this(certification, district_id, certification_id))
        .order_by(endorsement.c.id)
    )
    return list((await (await session.connection()).execute(query)).all())


async def primary_of(session: AsyncSession, district_id: str, employee_number: str) -> UUID | None:
    """Return the employee's primary endorsement, if there is one."""
    query = (
        sa.select(endorsement.c.public_id)
        .join(employee, employee.c.id == endorsement.c.employee_id)
        .where(
            endorsement.c.district_id == district_id,
            employee.c.employee_number == employee_number,
            endorsement.c.is_primary,
        )
    )
    return (await (await session.connection()).execute(query)).scalar_one_or_none()


def _this(table: sa.Table, district_id: Any, public_id: Any) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.district_id == district_id, table.c.public_id == public_id
