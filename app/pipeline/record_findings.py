"""The report's lists of what the state's file says of records: blank dates, rows that disagree (I4, I12)."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.pipeline.difference import CERTIFICATION_FIELDS
from app.pipeline.match import employee
from app.pipeline.people_findings import WHO
from app.storage.row_stream import Row, rows
from app.storage.staging import wanted_certification, wanted_endorsement


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
    kept = wanted_certification.c
    query = (
        sa.select(
            employee.c.employee_number,
            kept.license_number,
            kept.license_type,
            kept.variants,
            kept.status,
            kept.issue_date,
            kept.expiration_date,
        )
        .join_from(wanted_certification, employee, employee.c.id == kept.employee_id)
        .where(kept.variants > 1)
        .order_by(employee.c.employee_number, kept.license_number, kept.license_type)
    )
    async for row in rows(connection, query):
        kept_values = {name: _text(row.pop(name)) for name in CERTIFICATION_FIELDS}
        yield {**row, "kept": kept_values}


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
