"""Dates as states write them: in the cells of a licence file and in its name."""

import re
from datetime import UTC, date, datetime

FIRST_YEAR, LAST_YEAR = 1900, 2200
"""A date outside is a typing error or a stand-in for "never", and no licence's."""

TOKENS = {
    "YYYY": r"(?P<year>[0-9]{4})",
    "MM": r"(?P<month>[0-9]{2})",
    "DD": r"(?P<day>[0-9]{2})",
    "M": r"(?P<month>[0-9]{1,2})",
    "D": r"(?P<day>[0-9]{1,2})",
}
MIDNIGHT = r"(?:[ T]+(?:0?0:00(?::00(?:\.0+)?)?Z?|12:00(?::00)? ?AM))?"

DATESTAMP = (
    r"(?P<date>[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:_(?P<time>[0-9]{4}|[0-9]{6})|T(?P<iso_time>[0-9]{2}[-:]?[0-9]{2}(?:[-:]?[0-9]{2})?)Z?)?"
)
"""What stands for `{datestamp}` in a file's name; `read_datestamp` says whether it is a real date."""
DATESTAMP_YEARS = range(2000, 2100)  # no licence file was sent by SFTP before, and none is dated after


def compile_format(text: str) -> re.Pattern[str]:
    """Return the pattern of a date format made of YYYY, MM or M, DD or D and separators.

    Raises ValueError when the format does not have year, month and day once each.
    """
    parts = re.split("(YYYY|MM|DD|M|D)", text)
    if sorted(part[0] for part in parts if part in TOKENS) != ["D", "M", "Y"]:
        raise ValueError(f"{text!r} is not a date format; use YYYY, MM or M, and DD or D, once each")
    pattern = "".join(TOKENS.get(part, re.escape(part)) for part in parts)
    return re.compile(pattern + MIDNIGHT, re.IGNORECASE)


class DateReader:
    """Reads the dates of one layout.

    `formats` are tried in order; a midnight time may follow the date. `no_date` are the words, in any case,
    that stand for "no date" ("Life" for an expiration).
    """

    def __init__(self, formats: tuple[str, ...], no_date: tuple[str, ...] = ()) -> None:
        self._patterns = [compile_format(text) for text in formats]
        self._no_date = {"", *(word.strip().casefold() for word in no_date)}
        self._reason = f"is not a date of {FIRST_YEAR} to {LAST_YEAR} written as {' or '.join(formats)}"

    def __call__(self, text: str) -> str | None:
        """Return the date as ISO text, None when blank; ValueError when no format reads it."""
        text = text.strip()
        if text.casefold() in self._no_date:
            return None
        for pattern in self._patterns:
            if match := pattern.fullmatch(text):
                try:
                    found = date(*map(int, match.group("year", "month", "day")))
                except ValueError:  # such as February 30: another format may still read it
                    continue
                if FIRST_YEAR <= found.year <= LAST_YEAR:
                    return found.isoformat()
        raise ValueError(self._reason)


def read_datestamp(match: re.Match[str]) -> datetime | None:
    """Return the instant, without a zone, of a match of `DATESTAMP`; None when there is no such date or time.

    Eight digits are year, month, day where that is a date of 2000-2099, otherwise month, day, year
    (alis-file: no name is both, since a year 20xx is no month).
    """
    digits = match["date"].replace("-", "")
    time = re.sub("[-:]", "", match["time"] or match["iso_time"] or "").ljust(6, "0")
    candidates = [digits]
    if digits == match["date"]:
        candidates.append(digits[4:] + digits[:4])
    for day in candidates:
        try:
            found = datetime.strptime(day + time, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            continue
        if found.year in DATESTAMP_YEARS:
            return found.replace(tzinfo=None)
    return None
