"""Employees and the job classes they are in."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.constants import EmployeeStatus
from app.models.base import BIG_ID, district_field, enum_type, utc_now


class JobClass(SQLModel, table=True):
    """A kind of position; `certification_required` makes a licence mandatory for it (I12)."""

    __tablename__ = "job_class"

    district_id: str = district_field(primary_key=True)
    code: str = Field(primary_key=True, max_length=64)
    title: str = Field(default="", max_length=200)
    certification_required: bool = False
    version: int = Field(sa_type=sa.BigInteger)


class Employee(SQLModel, table=True):
    """A person of the district's ERP.

    `educator_key` and `name_key` are the values that I3 compares, computed when the row is written, so
    that a match is an index join; `app/pipeline/keys.py` has the rule.
    """

    __tablename__ = "employee"
    __table_args__ = (
        sa.UniqueConstraint("district_id", "employee_number"),
        sa.ForeignKeyConstraint(["district_id", "job_class"], ["job_class.district_id", "job_class.code"]),
        sa.Index(None, "district_id", "educator_key"),
        sa.Index(None, "district_id", "name_key"),
        sa.Index(None, "district_id", "job_class"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG_ID)
    district_id: str = district_field()
    employee_number: str = Field(max_length=64)
    state_staff_id: str | None = Field(default=None, max_length=64)
    last_name: str = Field(max_length=200)
    first_name: str = Field(max_length=200)
    middle_name: str | None = Field(default=None, max_length=200)
    legal_last_name: str | None = Field(default=None, max_length=200)
    legal_first_name: str | None = Field(default=None, max_length=200)
    former_last_name: str | None = Field(default=None, max_length=200)
    status: EmployeeStatus = Field(sa_type=enum_type(EmployeeStatus))
    job_class: str | None = Field(default=None, max_length=64)
    educator_key: str | None = Field(default=None, max_length=200)
    name_key: str | None = Field(default=None, sa_type=sa.Text)
    updated_at: datetime = Field(default_factory=utc_now)
    version: int = Field(sa_type=sa.BigInteger)
