"""Conditions of lists: a storage module says which columns, a query brings the values.

Each builder returns conditions by the name of the parameter that brings the value: that of the column, or
the keyword that it is given under.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import sqlalchemy as sa

Condition: TypeAlias = Callable[[Any], sa.ColumnElement[bool]]
Filters: TypeAlias = Mapping[str, Condition]


def named(*columns: Any, **renamed: Any) -> dict[str, Any]:
    """Return columns by name; `renamed` are those that callers know under another one."""
    return {column.name: column for column in columns} | renamed


def exact(*columns: Any, **renamed: Any) -> Filters:
    """Match rows with this very value."""
    return {name: column.__eq__ for name, column in named(*columns, **renamed).items()}


def any_of(*columns: Any, **renamed: Any) -> Filters:
    """Match rows with one of these values."""
    return {name: column.in_ for name, column in named(*columns, **renamed).items()}


def containing(*columns: Any, **renamed: Any) -> Filters:
    """Match rows that have this text in the column, in whatever case."""

    def condition(column: Any) -> Condition:
        return lambda text: _has(column, text)

    return {name: condition(column) for name, column in named(*columns, **renamed).items()}


def between(**columns: Any) -> Filters:
    """Match rows from `<name>_from` to `<name>_to`, both inclusive; those without a value do not match."""
    lower: Filters = {f"{name}_from": column.__ge__ for name, column in columns.items()}
    upper: Filters = {f"{name}_to": column.__le__ for name, column in columns.items()}
    return {**lower, **upper}


def keywords(columns: tuple[Any, ...], text: str) -> list[sa.ColumnElement[bool]]:
    """Return a condition for each word of `text`: it occurs in one of the columns, in whatever case."""
    if not text:
        return []
    everything: Any = sa.literal("", sa.Text)
    for column in columns:
        # A line break between, so that no word is found across two columns.
        everything = everything + "\n" + sa.func.coalesce(sa.type_coerce(column, sa.Text), "")
    # The longest first: it is the one that most rows fail.
    words = sorted(dict.fromkeys(text.split()), key=len, reverse=True)
    return [_has(everything, word) for word in words]


def _has(column: Any, text: str) -> sa.ColumnElement[bool]:
    condition: sa.ColumnElement[bool] = column.regexp_match("".join(map(_in_any_case, text)))
    return condition


def _in_any_case(character: str) -> str:
    """Return a regular expression for the character, alike for PostgreSQL and for Python (SQLite's).

    `lower` would not do: SQLite's knows ASCII only, and so does PostgreSQL's in a database of the C locale.
    """
    spellings = {character, character.lower(), character.upper()}
    single = sorted(each for each in spellings if len(each) == 1)
    return f"[{''.join(single)}]" if len(single) > 1 else re.escape(character)
