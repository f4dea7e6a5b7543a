"""Import tasks."""

import datetime as dt
from datetime import date, datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.constants import TaskStatus
from app.models.base import district_field, enum_type, utc_now


class Task(SQLModel, table=True):
    """An import that a district set up, with the schedule it is to follow (I7).

    `recurrence` is a list of days (`mon` … `sun`); `time` is local to `timezone`.
    """

    __tablename__ = "task"
    __table_args__ = (
        sa.Index(None, "district_id", "created_at", "id"),
        sa.Index(None, "next_run_at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    district_id: str = district_field()
    description: str = Field(max_length=200)
    status: TaskStatus = Field(sa_type=enum_type(TaskStatus))
    scheduled_start_date: date | None = None
    time: dt.time | None = Field(default=None, sa_type=sa.Time)
    timezone: str = Field(max_length=64)
    recurrence: list[str] = Field(default_factory=list, sa_type=sa.JSON)
    next_run_at: datetime | None = None
    scheduled_by: str = Field(max_length=200, description="Who set the schedule last; its runs are theirs.")
    created_by: str = Field(max_length=200)
    updated_by: str = Field(max_length=200)
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: datetime = Field(default_factory=utc_now)
    version: int = Field(sa_type=sa.BigInteger)
