"""How a state's licence file is recognised and read, as data: a TOML file, no code.

A layout comes with certsync (`app/layouts/<name>.toml`) or from a district. Adding a state is a TOML file
and a test.
"""

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from functools import cache, cached_property
from importlib.resources import files
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.constants import IMPORTED_STATUSES
from app.pipeline.dates import DATESTAMP, compile_format, read_datestamp

FieldName = Literal[
    "EducatorID",
    "LastName",
    "FirstName",
    "MiddleName",
    "LicenseNumber",
    "LicenseType",
    "LicenseStatus",
    "LicenseIssueDate",
    "LicenseExpirationDate",
    "EndorsementCode",
    "EndorsementDescription",
    "EndorsementIssueDate",
    "EndorsementExpirationDate",
    "Limitation",
]
FIELDS: tuple[FieldName, ...] = get_args(FieldName)
REQUIRED: tuple[FieldName, ...] = ("EducatorID", "LastName", "FirstName", "LicenseNumber", "LicenseStatus")
"""What every file must say, in a column or in the layout's `values`; the rest may be missing."""

MAX_NAME = 255  # of a file, as file systems have it
EXTENSION = r"(?:\.[A-Za-z0-9._-]*)?"
DELIMITERS = (",", "\t", "|", ";")

_PLACEHOLDER = "{datestamp}"
_Column = Annotated[int, Field(ge=1, strict=True)]


class LayoutError(ValueError):
    """A layout cannot be used; the message says what is wrong and where."""


def header_key(header: str) -> str:
    """Return a header as it is compared: without case, white space, underscores, hyphens and a BOM."""
    return re.sub(r"[\s_\-\ufeff]", "", unicodedata.normalize("NFKC", header).casefold())


def _check_file_name(pattern: str) -> str:
    if pattern.count(_PLACEHOLDER) != 1:
        raise ValueError(f"must hold {_PLACEHOLDER} once")
    if not re.fullmatch(r"[A-Za-z0-9 ._-]*", pattern.replace(_PLACEHOLDER, "")):
        raise ValueError("may hold letters, digits, spaces, dots, hyphens and underscores only")
    return pattern


def _check_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    for text in formats:
        compile_format(text)
    return formats


def _upper(statuses: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(status.strip().upper() for status in statuses))


class Layout(BaseModel):
    """One state's file. The TOML has the same keys; `vt_alis.toml` explains them by example.

    `fields` gives, for each field, the other names of its column, or in a file without a header row the
    number of its column, counted from 1, of `columns` in all. `values` gives what a field is for every row
    when the file has no column for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""
    state: str | None = Field(None, pattern="^[A-Z]{2}$")
    file_name: Annotated[str, AfterValidator(_check_file_name)]
    delimiter: Literal["auto", ",", "\t", "|", ";"] = "auto"
    encoding: Literal["auto", "utf-8", "windows-1252"] = "auto"
    header: bool = True
    columns: _Column | None = None
    date_formats: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_check_formats)]
    no_expiration: tuple[str, ...] = ()
    statuses: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_upper)] = IMPORTED_STATUSES
    fields: dict[FieldName, tuple[str, ...] | _Column]
    values: dict[FieldName, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def check_fields(self) -> Self:
        """Refuse what would leave a required field unread or a column with two meanings."""
        missing = [field for field in REQUIRED if field not in self.fields and field not in self.values]
        if missing:
            raise ValueError(f"fields: no {', '.join(missing)}; every layout needs {', '.join(REQUIRED)}")
        if self.header:
            self._check_names()
        else:
            self._check_positions()
        return self

    def _check_names(self) -> None:
        owner: dict[str, FieldName] = {}
        for field, names in self.fields.items():
            if isinstance(names, int):
                raise ValueError(f"fields.{field}: a column number needs header = false")  # noqa: TRY004 - pydantic takes ValueError only
            for name in (field, *names):
                if (other := owner.setdefault(header_key(name), field)) != field:
                    raise ValueError(f"fields.{field}: {name!r} already stands for {other}")

    def _check_positions(self) -> None:
        if self.columns is None:
            raise ValueError("columns: say how many columns a file without a header row has")
        for field, column in self.fields.items():
            if not isinstance(column, int) or column > self.columns:
                raise ValueError(
                    f"fields.{field}: without a header row it must be a column number, 1 to {self.columns}"
                )

    @cached_property
    def _name_pattern(self) -> re.Pattern[str]:
        before, after = self.file_name.split(_PLACEHOLDER)
        return re.compile(re.escape(before) + DATESTAMP + re.escape(after) + EXTENSION)

    def datestamp(self, file_name: str) -> datetime | None:
        """Return the datestamp, without a zone, of a file that this layout recognises, otherwise None.

        The whole name has to match; the extension is of letters, digits, dots, hyphens and underscores,
        so that a recognised name is always safe as a local file's.
        """
        match = self._name_pattern.fullmatch(file_name) if len(file_name) <= MAX_NAME else None
        return read_datestamp(match) if match else None

    def claims(self, headers: Sequence[str]) -> dict[FieldName, list[int]]:
        """Return for each field the indexes of the columns that may be it.

        A column that has the field's own name wins over one that has another name of it, so several
        indexes mean that the header is ambiguous.
        """
        keys = [header_key(header) for header in headers]
        found: dict[FieldName, list[int]] = {}
        for field, names in self.fields.items():
            if isinstance(names, int):
                found[field] = [names - 1]
                continue
            own = [at for at, key in enumerate(keys) if key == header_key(field)]
            others = {header_key(name) for name in names}
            if columns := own or [at for at, key in enumerate(keys) if key in others]:
                found[field] = columns
        return found


def parse_layout(toml_text: str, name: str) -> Layout:
    """Return the layout that a TOML text describes; LayoutError says what is wrong and where."""
    try:
        values = tomllib.loads(toml_text)
    except ValueError as error:  # TOMLDecodeError, and int's own for a number of thousands of digits
        raise LayoutError(f"layout {name}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise LayoutError(f"layout {name}: not valid TOML: nested too deeply") from error
    try:
        return Layout(**{**values, "name": name})
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, fault['loc'])) or 'layout'}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        )
        raise LayoutError(f"layout {name}: " + "; ".join(faults)) from error


@cache
def load_layout(name: str) -> Layout:
    """Return a layout that comes with certsync, by its file's name without `.toml`; LayoutError if none."""
    if name not in layout_names():
        raise LayoutError(f"there is no layout {name!r}; there are {', '.join(layout_names())}")
    return parse_layout((files("app.layouts") / f"{name}.toml").read_text(encoding="utf-8"), name)


@cache
def layout_names() -> tuple[str, ...]:
    """Return the names of the layouts that come with certsync, sorted."""
    found = (file.name for file in files("app.layouts").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def layout_for_state(state: str) -> Layout:
    """Return the layout that a state's districts read by, by postal code; LayoutError when there is none."""
    for layout in map(load_layout, layout_names()):
        if layout.state == state.strip().upper():
            return layout
    raise LayoutError(
        f"no layout reads the licence file of {state!r}; give the district one of its own "
        "(certsync districts layout)"
    )
