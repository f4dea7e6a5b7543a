"""When a schedule is due: days of the week, both days on which clocks change, and odder days (I7)."""

import datetime as dt
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.constants import DAYS
from app.services.recurrence import next_occurrence

LONG_AGO = date(2000, 1, 1)
ZONES = sorted(available_timezones())


def due(zone: str, time: str, after: str, days: str = "", start: date = LONG_AGO) -> str:
    """Return the next occurrence; `after` and the result are UTC without saying so, to the minute."""
    instant = next_occurrence(
        start,
        dt.time.fromisoformat(time),
        zone,
        days.split() or DAYS,
        datetime.fromisoformat(after).replace(tzinfo=UTC),
    )
    assert instant.tzinfo is UTC
    return instant.strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("zone", "time", "after", "expected"),
    [
        # The time does not exist: later by the length of the gap.
        ("America/New_York", "02:30", "2026-03-08 00:00", "2026-03-08 07:30"),  # 03:30 EDT
        ("America/New_York", "02:00", "2026-03-08 00:00", "2026-03-08 07:00"),
        ("America/New_York", "01:59", "2026-03-08 00:00", "2026-03-08 06:59"),
        ("America/New_York", "03:00", "2026-03-08 00:00", "2026-03-08 07:00"),
        ("Europe/Berlin", "02:30", "2026-03-29 00:00", "2026-03-29 01:30"),
        ("Australia/Lord_Howe", "02:10", "2026-10-03 12:00", "2026-10-03 15:40"),  # 30 minutes: 02:40
        ("Antarctica/Troll", "01:30", "2026-03-29 00:00", "2026-03-29 01:30"),  # 2 hours: 03:30
        ("America/Nuuk", "23:30", "2026-03-28 12:00", "2026-03-29 01:30"),  # its gap is 23:00 to 24:00
        # The time occurs twice: the first, and that once.
        ("America/New_York", "01:30", "2026-11-01 00:00", "2026-11-01 05:30"),
        ("America/New_York", "01:30", "2026-11-01 05:30", "2026-11-02 06:30"),
        ("America/New_York", "01:30", "2026-11-01 06:00", "2026-11-02 06:30"),  # between the two
        ("Europe/Berlin", "02:30", "2026-10-25 00:00", "2026-10-25 00:30"),
        ("Europe/Berlin", "02:30", "2026-10-25 00:30", "2026-10-26 01:30"),
        ("Australia/Lord_Howe", "01:45", "2026-04-04 12:00", "2026-04-04 14:45"),
        ("Australia/Lord_Howe", "01:45", "2026-04-04 14:45", "2026-04-05 15:15"),
        ("Antarctica/Troll", "02:30", "2026-10-24 12:00", "2026-10-25 00:30"),
        ("Antarctica/Troll", "02:30", "2026-10-25 00:30", "2026-10-26 02:30"),
    ],
)
def test_days_on_which_clocks_change(zone: str, time: str, after: str, expected: str) -> None:
    assert due(zone, time, after) == expected


def test_an_occurrence_that_a_gap_moved_past_midnight_is_not_forgotten() -> None:
    """23:30 of the 28th is 00:30 of the 29th there; it is still due when the 29th has begun."""
    assert due("America/Nuuk", "23:30", "2026-03-29 01:10") == "2026-03-29 01:30"
    assert due("America/Nuuk", "23:30", "2026-03-29 01:30") == "2026-03-30 00:30"


@pytest.mark.parametrize(
    ("after", "days", "expected"),
    [
        ("2028-02-28 12:00", "tue", "2028-02-29 07:30"),
        ("2028-02-29 07:30", "tue", "2028-03-07 07:30"),
        ("2027-02-28 12:00", "", "2027-03-01 07:30"),
        ("2028-02-29 07:29", "", "2028-02-29 07:30"),
        ("2026-11-23 07:29", "mon", "2026-11-23 07:30"),
        ("2026-11-23 07:30", "mon", "2026-11-30 07:30"),  # a week later when it has been
        ("2026-11-23 07:30", "mon wed", "2026-11-25 07:30"),
        ("2026-12-31 12:00", "fri", "2027-01-01 07:30"),
    ],
)
def test_days_of_the_week(after: str, days: str, expected: str) -> None:
    assert due("America/New_York", "02:30", after, days) == expected


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (date(1, 1, 1), "2026-11-24 07:30"),
        (date(2026, 11, 24), "2026-11-24 07:30"),
        (date(2026, 11, 25), "2026-12-01 07:30"),  # the first Tuesday from then on
        (date(2100, 12, 31), "2101-01-04 07:30"),
    ],
)
def test_start_date(start: date, expected: str) -> None:
    assert due("America/New_York", "02:30", "2026-11-23 12:00", "tue", start) == expected


def test_the_day_is_that_of_the_zone() -> None:
    """It is Monday evening in New York while it is Tuesday in UTC and in Auckland."""
    assert due("America/New_York", "21:00", "2026-11-24 01:00", "mon") == "2026-11-24 02:00"
    assert due("Pacific/Auckland", "21:00", "2026-11-24 01:00", "tue") == "2026-11-24 08:00"


def test_a_day_that_a_zone_skipped() -> None:
    """Samoa went from the 29th to the 31st of December 2011: a gap of 24 hours."""
    apia = "Pacific/Apia"
    assert due(apia, "02:30", "2011-12-29 13:00", "fri") == "2011-12-30 12:30"  # Saturday, 02:30
    assert due(apia, "02:30", "2011-12-30 12:30", "fri") == "2012-01-05 12:30"
    # Friday's occurrence and Saturday's are one instant, which is due once.
    assert due(apia, "02:30", "2011-12-29 12:30") == "2011-12-30 12:30"
    assert due(apia, "02:30", "2011-12-30 12:30") == "2011-12-31 12:30"


@pytest.mark.parametrize(
    ("zone", "days"), [("Mars/Olympus", ["mon"]), ("UTC", []), ("UTC", ["monday"]), ("../etc", ["mon"])]
)
def test_what_is_no_schedule_is_refused(zone: str, days: list[str]) -> None:
    with pytest.raises((ValueError, KeyError)):
        next_occurrence(LONG_AGO, dt.time(2, 30), zone, days, datetime(2026, 11, 23, tzinfo=UTC))


def change_of_clocks(place: ZoneInfo, year: int) -> datetime | None:
    """Return the first hour of a year (UTC) in which the zone's offset changes."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=number) for number in range(366 * 24)]
    offset = hours[0].astimezone(place).utcoffset()
    if all(hour.astimezone(place).utcoffset() == offset for hour in hours[::24]):
        return None
    return next(hour for hour in hours if hour.astimezone(place).utcoffset() != offset) - timedelta(hours=1)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[str, dt.time, set[str], datetime]:
    """A zone, a time, days and an instant; near a change of the clocks where the zone has one that year."""
    zone = draw(st.sampled_from(ZONES))
    change = change_of_clocks(ZoneInfo(zone), draw(st.integers(1975, 2060)))
    if change is None:
        change = draw(st.datetimes(datetime(1975, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - Hypothesis takes naive bounds
    around = change + timedelta(minutes=draw(st.integers(-90, 150)))
    time = around.astimezone(ZoneInfo(zone)).time().replace(second=0, microsecond=0, fold=0)
    days = draw(st.sets(st.sampled_from(DAYS), min_size=1))
    return zone, time, days, change - timedelta(hours=draw(st.integers(0, 24 * 8)))


@settings(deadline=None)
@given(schedule=schedules(), days_ahead=st.integers(-3, 20))
def test_whatever_the_zone(schedule: tuple[str, dt.time, set[str], datetime], days_ahead: int) -> None:
    """Later each time, on the right day at the right time but for a gap, once a day, no day left out."""
    zone, time, days, after = schedule
    start = after.date() + timedelta(days=days_ahead)
    place = ZoneInfo(zone)
    seen = [after]
    wall: list[datetime] = []
    for _ in range(10):
        seen.append(next_occurrence(start, time, zone, days, seen[-1]))
        wall.append(seen[-1].astimezone(place))
    assert seen == sorted(set(seen))
    intended = []
    for there in wall:
        local = there.replace(tzinfo=None)
        exact = local.time() == time and DAYS[local.weekday()] in days and there.fold == 0
        day = local.date() if exact else _day_before_gap(there, time)
        assert day >= start
        assert DAYS[day.weekday()] in days
        intended.append(day)
    assert intended == sorted(set(intended))
    skipped = {intended[0] + timedelta(number) for number in range((intended[-1] - intended[0]).days)}
    assert {day for day in skipped - set(intended) if DAYS[day.weekday()] in days} <= _lost_days(
        place, skipped
    )


def _day_before_gap(there: datetime, time: dt.time) -> date:
    """Return the day whose `time` does not exist in the zone and is `there` when moved by the gap."""
    for day in (there.date(), there.date() - timedelta(days=1)):
        missing = datetime.combine(day, time, tzinfo=there.tzinfo)
        gap = missing.replace(fold=0).utcoffset(), missing.replace(fold=1).utcoffset()
        assert gap[0] is not None
        assert gap[1] is not None
        if gap[1] > gap[0] and missing.replace(tzinfo=None) + (gap[1] - gap[0]) == there.replace(tzinfo=None):
            return day
    raise AssertionError(f"{there} is not a moved {time}")


def _lost_days(place: ZoneInfo, days: set[date]) -> set[date]:
    """Return the days of which the zone has no noon: those it skipped whole."""
    noons = {day: datetime.combine(day, dt.time(12), tzinfo=place) for day in days}
    return {day for day, noon in noons.items() if noon.astimezone(UTC).astimezone(place).date() != day}
