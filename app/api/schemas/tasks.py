"""Bodies of tasks."""

import datetime as dt
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, field_serializer

from app.api.schemas.base import Answer, Body, Day, Example, Minute, Name
from app.constants import DAYS, TaskStatus
from app.settings.values import check_timezone

LAST_YEAR = 2100
"""Of a start date. A task with a mistyped later one would look scheduled and never run."""
DayOfWeek = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
EXAMPLE: Example = {
    "description": "Nightly licence import",
    "status": "active",
    "scheduled_start_date": "2026-09-01",
    "time": "02:30",
    "timezone": "America/New_York",
    "recurrence": ["mon", "tue", "wed", "thu", "fri"],
}


def in_week_order(days: list[DayOfWeek]) -> list[DayOfWeek]:
    """Return the days from Monday on; raises ValueError when one occurs twice."""
    if len(set(days)) != len(days):
        raise ValueError("names a day twice")
    return sorted(days, key=DAYS.index)


def in_this_century(day: date) -> date:
    """Return the day; raises ValueError for one so far away that it must be a slip."""
    if day.year > LAST_YEAR:
        raise ValueError(f"must not lie after the year {LAST_YEAR}")
    return day


Status = Annotated[TaskStatus, Field(strict=False)]
StartDay = Annotated[Day, AfterValidator(in_this_century)]
Zone = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64), AfterValidator(check_timezone)]
Days = Annotated[list[DayOfWeek], AfterValidator(in_week_order)]


class TaskCreate(Body):
    """A task. Start date, time and recurrence are required while it is active."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    description: Name
    status: Status
    scheduled_start_date: StartDay | None = None
    time: Minute | None = Field(None, description="Local time in `timezone`.")
    timezone: Zone | None = Field(None, description="IANA name; default: the district's.")
    recurrence: Days = Field(default_factory=list, description="Days of the week.")


class TaskPatch(Body):
    """What to change of a task; what is left out stays, null clears."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "inactive"}, {"time": "03:00"}]})

    description: Name = ""
    status: Status = TaskStatus.INACTIVE
    scheduled_start_date: StartDay | None = None
    time: Minute | None = None
    timezone: Zone | None = Field(None, description="Null: the district's.")
    recurrence: Days = Field(default_factory=list)


class TaskOut(Answer):
    """A task."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0b8e3a52-5c1f-4f0e-9b1c-0c6f5d0f8a11",
                    **EXAMPLE,
                    "next_run_at": "2026-09-01T06:30:00Z",
                    "created_by": "kmarsh",
                    "updated_by": "kmarsh",
                    "created_at": "2026-08-20T14:05:00Z",
                    "updated_at": "2026-08-20T14:05:00Z",
                    "version": 7,
                }
            ]
        }
    )

    id: UUID
    description: str
    status: TaskStatus
    scheduled_start_date: date | None
    time: dt.time | None = Field(json_schema_extra={"examples": ["02:30"]})
    timezone: str
    recurrence: list[DayOfWeek]
    next_run_at: datetime | None = Field(description="Null while the task is inactive.")
    created_by: str
    updated_by: str
    created_at: datetime
    updated_at: datetime
    version: int

    @field_serializer("time")
    def hours_and_minutes(self, value: dt.time | None) -> str | None:
        """Return `HH:MM`."""
        return value.strftime("%H:%M") if value else None
