"""Types that several bodies share. What they refuse, they refuse in words."""

import datetime as dt
import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict
from pydantic.json_schema import WithJsonSchema

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
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
    if found := CONTROL.search(text):
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


_ONE_LINE = AfterValidator(no_control_characters)
# For clients: what the validator refuses, and refuses more kindly than a pattern would.
_PATTERN = Field(json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"})

Code = Annotated[str, _text(64), _ONE_LINE, _PATTERN]
"""A number or code that identifies something, also in paths. As all texts: one line, stored trimmed."""
Name = Annotated[str, _text(200), _ONE_LINE, _PATTERN]
Title = Annotated[str, _text(200, min_length=0), _ONE_LINE, _PATTERN]
RemotePath = Annotated[str, _text(1024), _ONE_LINE, _PATTERN]
Day = Annotated[date, BeforeValidator(read_date)]
Minute = Annotated[
    dt.time,
    BeforeValidator(read_minute),
    WithJsonSchema({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$", "examples": ["02:30"]}),
]
