"""Keyset pagination: a page begins after the last row of the one before, however the table changes meanwhile.

The cursor is that row's place in the order, so a page costs the same at any depth, and no row is skipped
or repeated when others are added or deleted.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from app.errors import FieldError, ValidationFailedError
from app.reads import answered
from app.storage.filters import Filters, keywords

Row = TypeVar("Row")
MAX_LIMIT = 200
DEFAULT_LIMIT = 50
BIGGEST_KEY = 2**63


@dataclass(frozen=True)
class Listing:
    """What a list can be sorted, filtered and searched by.

    `key` are columns that are never null and together unique: they break ties, in the direction of the
    sort. `default` is the sort of who asks for none. `sortable` are columns by the names of api.md,
    `searched` the texts that keywords are looked for in.
    """

    name: str
    key: tuple[Any, ...]
    default: str
    sortable: Mapping[str, Any]
    filters: Filters
    searched: tuple[Any, ...]

    @property
    def sorts(self) -> list[str]:
        """Every sort that can be asked for."""
        return [direction + name for name in self.sortable for direction in ("", "-")]


@dataclass(frozen=True)
class PageRequest:
    """Which page is asked for: the first one without a cursor.

    `sort` is one of the listing's, None its default; `q` are words that must all occur; `filters` are
    values by the names of the listing's filters, and all of them must hold.
    """

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    sort: str | None = None
    q: str = ""
    filters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows of one page, and the cursor of the next, if there is one."""

    items: list[Row]
    next_cursor: str | None


async def fetch_page(session: AsyncSession, query: Any, listing: Listing, request: PageRequest) -> Page[Any]:
    """Return one page of `query`, a select without an order of its own.

    Items are entities when it selects just one, otherwise rows with named columns.

    Raises ValidationFailedError naming `cursor` when that was not made here for this list, with this sort
    and these filters.
    """
    sort = request.sort or listing.default
    descending = sort.startswith("-")
    places = _places(listing, sort.removeprefix("-"))
    asked = _digest(listing, sort, request)
    conditions = [listing.filters[name](value) for name, value in request.filters.items()]
    query = query.where(*conditions, *keywords(listing.searched, request.q))
    if request.cursor is not None:
        place, last = sa.tuple_(*places), sa.tuple_(*_decode(asked, places, request.cursor))
        query = query.where(place < last if descending else place > last)
    directed = [place.desc() if descending else place.asc() for place in places]
    shown = [place.label(f"place_{number}") for number, place in enumerate(places)]
    # One more than asked tells whether there is a next page.
    selected = query.add_columns(*shown).order_by(*directed).limit(request.limit + 1)
    # SQLModel's `exec` would reduce the rows of its own `select` to their first column.
    rows = (await session.run_sync(lambda sync: Session.execute(sync, selected))).all()
    page = rows[: request.limit]
    answered(len(page))
    width = len(places)
    next_cursor = _encode(asked, page[-1][-width:]) if len(rows) > request.limit else None
    return Page([row[0] if len(row) == width + 1 else row for row in page], next_cursor)


async def every_row(
    page: Callable[[PageRequest], Awaitable[Page[Row]]], request: PageRequest
) -> AsyncIterator[Row]:
    """Yield the rows of all pages, from that of `request` on; `page` reads one."""
    while True:
        found = await page(request)
        for row in found.items:
            yield row
        if found.next_cursor is None:
            return
        request = replace(request, cursor=found.next_cursor)


def _places(listing: Listing, name: str) -> list[Any]:
    """Return what rows are compared by; none of it is ever null.

    A column that may be null is preceded by whether it is: nulls come last, or first in descending order.
    """
    column = listing.sortable[name]
    sorted_by = _comparable(column)
    rest = [_comparable(each) for each in listing.key if each is not column]
    if not getattr(column, "nullable", False):  # an expression is no column, and is never null here
        return [sorted_by, *rest]
    filler = sa.literal(_KINDS[_kind(sorted_by)].filler, sorted_by.type)
    return [column.is_(None), sa.func.coalesce(sorted_by, filler), *rest]


def _comparable(column: Any) -> Any:
    """Return the column as what it is compared as: an enum as its text, any integer as a big one."""
    if isinstance(column.type, sa.Enum):
        return sa.type_coerce(column, sa.Text())
    return sa.type_coerce(column, sa.BigInteger()) if _kind(column) is int else column


def _digest(listing: Listing, sort: str, request: PageRequest) -> str:
    """Return a short text that tells one list, sort and set of filters from another."""
    asked = [listing.name, sort, request.q, dict(request.filters)]
    text = json.dumps(asked, default=_as_text, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _encode(asked: str, values: Any) -> str:
    text = json.dumps([asked, *values], default=_as_text)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def _decode(asked: str, places: list[Any], cursor: str) -> list[Any]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        made_for, *values = json.loads(raw)
        last = [
            sa.literal(_KINDS[_kind(place)].read(value), place.type)
            for place, value in zip(places, values, strict=True)
        ]
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _bad_cursor() from error
    if made_for != asked:
        raise _bad_cursor()
    return last


def _bad_cursor() -> ValidationFailedError:
    text = "is not a cursor of this list with this sort and these filters; begin without one"
    return ValidationFailedError(f"cursor {text}.", errors=[FieldError(("query", "cursor"), text, "cursor")])


def _kind(column: Any) -> type:
    """Return the Python type of a column, that of the type it decorates if it decorates one."""
    kind: type = getattr(column.type, "impl_instance", column.type).python_type
    return kind


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError("not a text")
    value.encode()  # raises for half of a surrogate pair, which no database takes
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) >= BIGGEST_KEY:
        raise ValueError("not a key")
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("not a truth value")
    return value


class _Kind(NamedTuple):
    """How a value of a cursor is read, and what stands for null beside the flag that says so."""

    read: Callable[[Any], Any]
    filler: Any


_KINDS: dict[type, _Kind] = {
    str: _Kind(_text, ""),
    int: _Kind(_integer, 0),
    bool: _Kind(_boolean, filler=False),
    UUID: _Kind(lambda value: UUID(_text(value)), UUID(int=0)),
    date: _Kind(date.fromisoformat, date(2000, 1, 1)),
    time: _Kind(lambda value: time.fromisoformat(value).replace(tzinfo=None), time()),
    datetime: _Kind(
        lambda value: datetime.fromisoformat(value).astimezone(UTC), datetime(2000, 1, 1, tzinfo=UTC)
    ),
}
