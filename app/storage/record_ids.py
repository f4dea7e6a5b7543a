"""The public ids of certifications and endorsements: a hash of what identifies the record.

The same licence of the same employee has the same id after every import, so links in other systems hold.
The three computations here (Python, and SQL that PostgreSQL and SQLite run alike) agree by a test.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import md5_hex

SEPARATOR = "\x1f"  # no stored text has it: white space is collapsed, control characters are refused


def certification_id(district_id: str, employee_number: str, license_number: str, license_type: str) -> UUID:
    """Return the public id of a certification."""
    return UUID(md5_hex(SEPARATOR.join((district_id, employee_number, license_number, license_type))))


def endorsement_id(certification: UUID, code: str, ordinal: int) -> UUID:
    """Return the public id of an endorsement.

    `ordinal` counts from 1 the certification's distinct rows of that code, sorted by limitation, issue
    and expiration date, blanks first.
    """
    return UUID(md5_hex(SEPARATOR.join((certification.hex, code, str(ordinal)))))


def sql_certification_id(district_id: str, *parts: sa.ColumnElement[Any]) -> sa.ColumnElement[UUID]:
    """Return the SQL of `certification_id` for employee number, licence number and licence type."""
    return _sql_hash(sa.literal(district_id, sa.Text), *parts)


def sql_endorsement_id(
    certification: sa.ColumnElement[UUID], code: sa.ColumnElement[str], ordinal: sa.ColumnElement[int]
) -> sa.ColumnElement[UUID]:
    """Return the SQL of `endorsement_id`."""
    hexadecimal = sa.func.replace(sa.cast(certification, sa.Text), "-", "")
    return _sql_hash(hexadecimal, code, sa.cast(ordinal, sa.Text))


def _sql_hash(*parts: sa.ColumnElement[Any]) -> sa.ColumnElement[UUID]:
    text: sa.ColumnElement[Any] = parts[0]
    for part in parts[1:]:
        text = text.op("||")(sa.literal(SEPARATOR, sa.Text)).op("||")(part)
    return sa.cast(sa.func.md5(text), sa.Uuid)
