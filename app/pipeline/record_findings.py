"""The report's lists of what the state's file says of records: blank dates, rows that disagree (I4, I12)."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.pipeline.difference import CERTIFICATION_FIELDS
from app.pipeline.match import LICENCE, employee
from app.pipeline.people_findings import WHO
from app.storage.row_stream import Row, rows
from app.storage.staging import matched_row, wanted_certification, wanted_endorsement


async def blank_dates(connection: AsyncConnection) -> AsyncIterator[Row]:
    """Yield certifications and endorsements without an issue or an expiration date."""
    certifications = _blank(wanted_certification, "certification", sa.null()).join(
        employee, employee.c.id == wanted_certification.c.employee_id
    )
    endorsements = (
        _blank(wanted_endorsement, "endorsement", wanted_endorsement.c.code)
        .join(
            wanted_certification,
            wanted_certification.c.public_id == wanted_endorsement.c.certification_public_id,
        )
        .join(employee, employee.c.id == wanted_endorsement.c.employee_id)
    )
    query = sa.union_all(certifications, endorsements).order_by(
        "employee_number", "license_number", "record", "code"
    )
    async for row in rows(connection, query):
        missing = [name for name in ("issue_date", "expiration_date") if row.pop(name) is None]
        yield {**row, "missing": missing}


def _blank(table: sa.Table, record: str, code: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return (
        sa.select(
            *WHO,
            sa.literal(record).label("record"),
            wanted_certification.c.license_number,
            sa.cast(code, sa.Text).label("code"),
            table.c.issue_date,
            table.c.expiration_date,
        )
        .select_from(table)
        .where(sa.or_(table.c.issue_date.is_(None), table.c.expiration_date.is_(None)))
    )


async def disagreements(connection: AsyncConnection) -> AsyncIterator[Row]:
    """Yield licences whose rows disagree on status or dates, with the values that were kept (I4)."""
    variant = sa.select(
        *LICENCE, matched_row.c.status, matched_row.c.issue_date, matched_row.c.expiration_date
    ).distinct().subquery()  # fmt: skip
    licence = (variant.c.employee_id, variant.c.license_number, variant.c.license_type)
    several = (
        sa.select(*licence, sa.func.count().label("variants"))
        .group_by(*licence)
        .having(sa.func.count() > 1)
        .subquery()
    )
    kept = wanted_certification
    query = (
        sa.select(
            employee.c.employee_number,
            kept.c.license_number,
            kept.c.license_type,
            several.c.variants,
            kept.c.status,
            kept.c.issue_date,
            kept.c.expiration_date,
        )
        .join_from(
            several,
            kept,
            sa.and_(
                kept.c.employee_id == several.c.employee_id,
                kept.c.license_number == several.c.license_number,
                kept.c.license_type == several.c.license_type,
            ),
        )
        .join(employee, employee.c.id == kept.c.employee_id)
        .order_by(employee.c.employee_number, kept.c.license_number, kept.c.license_type)
    )
    async for row in rows(connection, query):
        kept_values = {name: _text(row.pop(name)) for name in CERTIFICATION_FIELDS}
        yield {**row, "kept": kept_values}


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
