"""Keyset pagination: a page begins after the last row of the one before, however the table changes meanwhile.

The cursor is that row's place in the order, so a page costs the same at any depth, and no row is skipped
or repeated when others are added or deleted.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from app.errors import FieldError, ValidationFailedError

Row = TypeVar("Row")
MAX_LIMIT = 200
DEFAULT_LIMIT = 50
BIGGEST_KEY = 2**63


@dataclass(frozen=True)
class Order:
    """How a list is sorted: columns that are never null and together unique, all in one direction.

    `name` is part of the cursor, so that one of another list or sorting is refused.
    """

    name: str
    columns: tuple[Any, ...]
    descending: bool = False


@dataclass(frozen=True)
class PageRequest:
    """Which page is asked for; the first one without a cursor."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows of one page, and the cursor of the next, if there is one."""

    items: list[Row]
    next_cursor: str | None


async def fetch_page(session: AsyncSession, query: Any, order: Order, request: PageRequest) -> Page[Any]:
    """Return one page of `query`, a select without an order of its own.

    Items are entities when it selects just one, otherwise rows with named columns.

    Raises ValidationFailedError naming `cursor` when that was not made here for this list.
    """
    if request.cursor is not None:
        place = sa.tuple_(*order.columns)
        last = sa.tuple_(*_decode(order, request.cursor))
        query = query.where(place < last if order.descending else place > last)
    directed = [column.desc() if order.descending else column.asc() for column in order.columns]
    # One more than asked tells whether there is a next page.
    selected = query.add_columns(*order.columns).order_by(*directed).limit(request.limit + 1)
    # SQLModel's `exec` would reduce the rows of its own `select` to their first column.
    rows = (await session.run_sync(lambda sync: Session.execute(sync, selected))).all()
    page = rows[: request.limit]
    width = len(order.columns)
    next_cursor = _encode(order, page[-1][-width:]) if len(rows) > request.limit else None
    return Page([row[0] if len(row) == width + 1 else row for row in page], next_cursor)


def _encode(order: Order, values: Any) -> str:
    text = json.dumps([order.name, *values], default=_as_text)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _decode(order: Order, cursor: str) -> list[Any]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        name, *values = json.loads(raw)
        places = [
            sa.literal(_PARSERS[_kind(column)](value), column.type)
            for column, value in zip(order.columns, values, strict=True)
        ]
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _bad_cursor() from error
    if name != order.name:
        raise _bad_cursor()
    return places


def _kind(column: Any) -> type:
    """Return the Python type of a column, that of the type it decorates if it decorates one."""
    kind: type = getattr(column.type, "impl_instance", column.type).python_type
    return kind


def _bad_cursor() -> ValidationFailedError:
    text = "is not a cursor of this list; begin without one"
    return ValidationFailedError(f"cursor {text}.", errors=[FieldError(("query", "cursor"), text, "cursor")])


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError("not a text")
    value.encode()  # raises for half of a surrogate pair, which no database takes
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) >= BIGGEST_KEY:
        raise ValueError("not a key")
    return value


_PARSERS: dict[type, Callable[[Any], Any]] = {
    str: _text,
    int: _integer,
    UUID: lambda value: UUID(_text(value)),
    date: date.fromisoformat,
    datetime: lambda value: datetime.fromisoformat(value).astimezone(UTC),
}
