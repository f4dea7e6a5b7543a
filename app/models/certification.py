"""Certifications and their endorsements: what this service exists to keep true."""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.constants import RecordSource
from app.models.base import BIG_ID, district_field, enum_type, utc_now


class Certification(SQLModel, table=True):
    """One licence of one employee.

    `public_id` is a hash of what identifies the licence (`app/storage/record_ids.py`), so it is the same
    after every import. Inside, tables are joined by the integer `id`.
    """

    __tablename__ = "certification"
    __table_args__ = (
        sa.UniqueConstraint("district_id", "public_id"),
        sa.Index(None, "employee_id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG_ID)
    district_id: str = district_field()
    public_id: UUID
    employee_id: int = Field(foreign_key="employee.id", sa_type=BIG_ID)
    license_number: str = Field(sa_type=sa.Text)
    license_type: str = Field(default="", sa_type=sa.Text)
    status: str = Field(max_length=64)
    issue_date: date | None = None
    expiration_date: date | None = None
    source: RecordSource = Field(sa_type=enum_type(RecordSource))
    run_id: UUID | None = None
    updated_by: str = Field(max_length=200)
    updated_at: datetime = Field(default_factory=utc_now)
    version: int = Field(sa_type=sa.BigInteger)


class Endorsement(SQLModel, table=True):
    """What a certification allows its holder to teach.

    `employee_id` repeats its certification's, so that "one primary an employee" can be an index.
    """

    __tablename__ = "endorsement"
    __table_args__ = (
        sa.UniqueConstraint("district_id", "public_id"),
        sa.Index(None, "certification_id"),
        sa.Index(None, "employee_id"),
        sa.Index(
            "uq_endorsement_primary",
            "district_id",
            "employee_id",
            unique=True,
            sqlite_where=sa.text("is_primary"),
            postgresql_where=sa.text("is_primary"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG_ID)
    district_id: str = district_field()
    public_id: UUID
    certification_id: int = Field(foreign_key="certification.id", ondelete="CASCADE", sa_type=BIG_ID)
    employee_id: int = Field(sa_type=BIG_ID)
    code: str = Field(sa_type=sa.Text)
    description: str | None = Field(default=None, sa_type=sa.Text)
    issue_date: date | None = None
    expiration_date: date | None = None
    limitation: str | None = Field(default=None, sa_type=sa.Text)
    is_primary: bool = False
    source: RecordSource = Field(sa_type=enum_type(RecordSource))
    run_id: UUID | None = None
    updated_by: str = Field(max_length=200)
    updated_at: datetime = Field(default_factory=utc_now)
    version: int = Field(sa_type=sa.BigInteger)
