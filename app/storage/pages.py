"""Keyset pagination: a page begins after the last row of the one before, however the table changes meanwhile.

The cursor is that row's place in the order, so a page costs the same at any depth, and no row is skipped
or repeated when others are added or deleted.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import FieldError, ValidationFailedError
from app.reads import answered
from app.storage.filters import Filters, keywords, together

Row = TypeVar("Row")
MAX_LIMIT = 200
DEFAULT_LIMIT = 50
BIGGEST_KEY = 2**63
STATEMENTS = 500
"""Statements that are kept: as many as SQLAlchemy keeps compiled. Which there are is the callers' choice."""
OF_DISTRICT = sa.bindparam("district_id", type_=sa.String())
"""The district in the `rows` of a listing."""


@dataclass(frozen=True, eq=False)
class Listing:
    """What a list can be sorted, filtered and searched by.

    `rows` is a select of named columns, of the district `OF_DISTRICT`, without an order. `key` are columns
    that are never null and together unique: they break ties, in the direction of the sort. `default` is the
    sort of who asks for none. `sortable` are columns by the names of api.md, `searched` the texts that
    keywords are looked for in.
    """

    name: str
    rows: Any
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


async def fetch_page(
    connection: AsyncConnection, listing: Listing, district_id: str, request: PageRequest
) -> Page[Any]:
    """Return one page of a district's rows.

    Raises ValidationFailedError naming `cursor` when that was not made here for this list, with this sort
    and these filters.
    """
    sort = request.sort or listing.default
    words, names = keywords(request.q), tuple(request.filters)
    places = _places(listing, sort.removeprefix("-"))
    last = () if request.cursor is None else _decode(_digest(listing, sort, request), places, request.cursor)
    values = {
        OF_DISTRICT.key: district_id,
        "page_limit": request.limit + 1,  # one more than asked tells whether there is a next page
        **{name: listing.filters[name].bound(value) for name, value in request.filters.items()},
        **{f"word_{number}": word for number, word in enumerate(words)},
        **{f"last_{number}": value for number, value in enumerate(last)},
    }
    statement = _statement(listing, sort, names, len(words), after=bool(last))
    rows = (await connection.execute(statement, values)).all()
    page = rows[: request.limit]
    answered(len(page))
    if len(rows) <= request.limit:
        return Page(list(page), None)
    return Page(list(page), _encode(_digest(listing, sort, request), page[-1][-len(places) :]))


@lru_cache(STATEMENTS)
def _statement(listing: Listing, sort: str, names: tuple[str, ...], words: int, *, after: bool) -> Any:
    """Return the statement of pages with this sort, these filters, so many words, and a cursor or none.

    It takes as long to make as a page of a small list does to read.
    """
    descending = sort.startswith("-")
    places = _places(listing, sort.removeprefix("-"))
    conditions = [listing.filters[name].condition(sa.bindparam(name)) for name in names]
    if words:
        text = together(listing.searched)
        conditions += [text.regexp_match(sa.bindparam(f"word_{number}")) for number in range(words)]
    if after:
        last = [sa.bindparam(f"last_{number}", type_=place.type) for number, place in enumerate(places)]
        place, passed = sa.tuple_(*places), sa.tuple_(*last)
        conditions.append(place < passed if descending else place > passed)
    directed = [place.desc() if descending else place.asc() for place in places]
    shown = [place.label(f"place_{number}") for number, place in enumerate(places)]
    most = sa.bindparam("page_limit", type_=sa.Integer())
    return listing.rows.where(*conditions).add_columns(*shown).order_by(*directed).limit(most)


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


@lru_cache(STATEMENTS)
def _places(listing: Listing, name: str) -> tuple[Any, ...]:
    """Return what rows are compared by; none of it is ever null.

    A column that may be null is preceded by whether it is: nulls come last, or first in descending order.
    """
    column = listing.sortable[name]
    sorted_by = _comparable(column)
    rest = [_comparable(each) for each in listing.key if each is not column]
    if not getattr(column, "nullable", False):  # an expression is no column, and is never null here
        return (sorted_by, *rest)
    filler = sa.literal(_KINDS[_kind(sorted_by)].filler, sorted_by.type)
    return (column.is_(None), sa.func.coalesce(sorted_by, filler), *rest)


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


def _decode(asked: str, places: Sequence[Any], cursor: str) -> list[Any]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        made_for, *values = json.loads(raw)
        last = [_KINDS[_kind(place)].read(value) for place, value in zip(places, values, strict=True)]
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
