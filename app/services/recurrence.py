"""When a task is due next: local time in the task's zone, made an instant at once (I7)."""

import datetime as dt
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from app.constants import DAYS

HORIZON = 9
"""Days from yesterday on, in which a weekly schedule is due at least once."""


def next_occurrence(
    start_date: date, time: dt.time, timezone: str, recurrence: Collection[str], after: datetime
) -> datetime:
    """Return the first instant after `after` at which a schedule is due.

    `time` is local to `timezone`, an IANA name; `recurrence` holds days of `DAYS`; `after` and the result
    are in UTC. A time that does not exist is moved forward by the length of the gap, also past midnight;
    one that occurs twice is the first. Raises ValueError or KeyError for a zone or a day that is none.
    """
    zone = ZoneInfo(timezone)
    weekdays = {DAYS.index(day) for day in recurrence}
    # An occurrence of yesterday can still lie ahead: a gap moved it past midnight.
    yesterday = after.astimezone(zone).date() - timedelta(days=1)
    first = max(yesterday, start_date)
    for day in (first + timedelta(days=number) for number in range(HORIZON)):
        if day.weekday() in weekdays:
            # fold=0: the offset before the change, which is what moves and chooses as said above.
            due = datetime.combine(day, time, tzinfo=zone).astimezone(UTC)
            # In UTC, because instants of one zone compare by their wall time.
            if due > after:
                return due
    raise ValueError("a schedule without a day of the week is never due")
