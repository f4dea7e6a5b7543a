"""Types that several bodies share. What they refuse, they refuse in words."""

import datetime as dt
import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict
from pydantic.json_schema import WithJsonSchema

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(?P<offset>Z|[+-]\d\d:\d\d)?")
MINUTE = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


Example = JsonDict
"""A body as the documentation shows it."""


class Body(BaseModel):
    """A request body: nothing is converted, and nothing unknown is let pass."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Answer(BaseModel):
    """A response body, read from a row or a dataclass."""

    model_config = ConfigDict(from_attributes=True)


def no_control_characters(text: str) -> str:
    """Return `text`, or raise ValueError naming the first character that cannot be stored or shown."""
    if not text.isprintable() and (found := CONTROL.search(text)):  # the first look is the quicker one
        code, position = ord(found[0]), found.start() + 1
        raise ValueError(f"must not have control characters; there is U+{code:04X} at position {position}")
    return text


def read_date(value: object) -> object:
    """Return the day of `YYYY-MM-DD`; strict bodies take no other text, and never a number, for a date."""
    if not isinstance(value, str):
        return value
    try:
        if DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"is not a day of the calendar: {error}") from error
    raise ValueError("must be a date such as 2026-09-01")


def read_minute(value: object) -> object:
    """Return the time of `HH:MM` (24 hours), the only form taken."""
    if not isinstance(value, str):
        return value
    if not MINUTE.fullmatch(value):
        raise ValueError("must be a time of day such as 02:30, from 00:00 to 23:59")
    return dt.time.fromisoformat(value)


def _text(max_length: int, min_length: int = 1) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=min_length, max_length=max_length)


ONE_LINE = AfterValidator(no_control_characters)
# For clients: what the validator refuses, and refuses more kindly than a pattern would.
PATTERN = Field(json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"})

Code = Annotated[str, _text(64), ONE_LINE, PATTERN]
"""A number or code that identifies something, also in paths. As all texts: one line, stored trimmed."""
Name = Annotated[str, _text(200), ONE_LINE, PATTERN]
Title = Annotated[str, _text(200, min_length=0), ONE_LINE, PATTERN]
RemotePath = Annotated[str, _text(1024), ONE_LINE, PATTERN]
Day = Annotated[date, BeforeValidator(read_date)]
Minute = Annotated[
    dt.time,
    BeforeValidator(read_minute),
    WithJsonSchema({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$", "examples": ["02:30"]}),
]


def read_instant(value: object) -> object:
    """Return the instant of RFC 3339 in UTC; raises ValueError, above all for one without an offset."""
    if not isinstance(value, str):
        return value
    if re.fullmatch(r".+:\d\d(\.\d+)? \d\d:\d\d", value):
        raise ValueError("has a space where the + of the offset was; write + as %2B in an address")
    match = INSTANT.fullmatch(value.upper())
    if match is None:
        raise ValueError("must be an instant such as 2026-11-22T07:30:00Z")
    if match["offset"] is None:
        raise ValueError("says no offset; add Z for UTC, or one such as -05:00")
    try:
        return datetime.fromisoformat(match[0]).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is no instant of the calendar: {error}") from error


Instant = Annotated[datetime, BeforeValidator(read_instant)]
