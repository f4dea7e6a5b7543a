"""Conditions of lists: a storage module says which columns, a query brings the values.

Each builder returns filters by the name of the parameter that brings the value: that of the column, or
the keyword that it is given under. A condition is made once, of a parameter of the statement, and not anew
for each value: statements that are the same object need not be compiled, or looked for, again.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa

Condition: TypeAlias = Callable[[Any], sa.ColumnElement[bool]]


def _as_given(value: Any) -> Any:
    return value


class Filter(NamedTuple):
    """The condition that a parameter of the statement makes, and what it is set to for a value."""

    condition: Condition
    bound: Callable[[Any], Any] = _as_given


Filters: TypeAlias = Mapping[str, Filter]


def named(*columns: Any, **renamed: Any) -> dict[str, Any]:
    """Return columns by name; `renamed` are those that callers know under another one."""
    return {column.name: column for column in columns} | renamed


def exact(*columns: Any, **renamed: Any) -> Filters:
    """Match rows with this very value."""
    return {name: Filter(column.__eq__) for name, column in named(*columns, **renamed).items()}


def any_of(*columns: Any, **renamed: Any) -> Filters:
    """Match rows with one of these values."""
    return {name: Filter(column.in_) for name, column in named(*columns, **renamed).items()}


def containing(*columns: Any, **renamed: Any) -> Filters:
    """Match rows that have this text in the column, in whatever case."""
    return {name: Filter(column.regexp_match, pattern) for name, column in named(*columns, **renamed).items()}


def between(**columns: Any) -> Filters:
    """Match rows from `<name>_from` to `<name>_to`, both inclusive; those without a value do not match."""
    lower: Filters = {f"{name}_from": Filter(column.__ge__) for name, column in columns.items()}
    upper: Filters = {f"{name}_to": Filter(column.__le__) for name, column in columns.items()}
    return {**lower, **upper}


def together(columns: tuple[Any, ...]) -> Any:
    """Return what keywords are looked for in: the texts of all columns."""
    everything: Any = sa.literal("", sa.Text)
    for column in columns:
        # A line break between, so that no word is found across two columns.
        everything = everything + "\n" + sa.func.coalesce(sa.type_coerce(column, sa.Text), "")
    return everything


def keywords(text: str) -> list[str]:
    """Return a pattern for each word of `text`, the longest first: it is the one that most rows fail."""
    return [pattern(word) for word in sorted(dict.fromkeys(text.split()), key=len, reverse=True)]


def pattern(text: str) -> str:
    """Return a regular expression that finds `text` in whatever case."""
    return "".join(map(_in_any_case, text))


def _in_any_case(character: str) -> str:
    """Return a regular expression for the character, alike for PostgreSQL and for Python (SQLite's).

    `lower` would not do: SQLite's knows ASCII only, and so does PostgreSQL's in a database of the C locale.
    """
    spellings = {character, character.lower(), character.upper()}
    single = sorted(each for each in spellings if len(each) == 1)
    return f"[{''.join(single)}]" if len(single) > 1 else re.escape(character)
