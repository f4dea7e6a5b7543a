"""Which column of a licence file is which field, and what separates the columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.failures import FileMissingColumns, FileUnreadable
from app.pipeline.layout import DELIMITERS, REQUIRED, FieldName, Layout
from app.pipeline.text_format import records, visible

SHOWN = 40
"""Headers named in a message, and characters of each."""


@dataclass(frozen=True)
class Columns:
    """How the rows of one file are cut up: `at` has the index of each field's column, `headers` all names.

    Without a header row the names are "column 1", "column 2" …
    """

    delimiter: str
    headers: tuple[str, ...]
    at: dict[FieldName, int]


def find_columns(lines: Sequence[str], layout: Layout) -> Columns:
    """Return the columns of a file that starts with `lines`.

    The delimiter `auto` is the one by which the header row has most of the layout's fields; without a header
    row the one by which most of the lines have the right number of columns. A tie goes to the first of comma,
    tab, pipe and semicolon.

    Raises FileMissingColumns when a required field has no column, FileUnreadable when one has several.
    """
    candidates = DELIMITERS if layout.delimiter == "auto" else (layout.delimiter,)
    tables = [(delimiter, _table(lines, delimiter)) for delimiter in candidates]
    if layout.header:
        delimiter, table = max(tables, key=lambda found: len(layout.claims(_first(found[1]))))
        return _from_header(delimiter, _first(table), layout)
    delimiter, table = max(tables, key=lambda found: sum(len(row) == layout.columns for row in found[1]))
    return _from_positions(delimiter, table, layout)


def _table(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    return [fields for _, fields, fault in records(iter(lines), delimiter) if not fault]


def _first(table: list[list[str]]) -> list[str]:
    return table[0] if table else []


def _from_header(delimiter: str, headers: list[str], layout: Layout) -> Columns:
    claims = layout.claims(headers)
    shown = tuple(visible(header.removeprefix("\ufeff").strip(), SHOWN) for header in headers)
    missing = [field for field in REQUIRED if field not in claims and field not in layout.values]
    if missing:
        raise FileMissingColumns(
            _missing(missing, shown if claims else (), layout), diagnosis={"missing": missing}
        )
    for field, columns in claims.items():
        if len(columns) > 1:
            raise FileUnreadable(
                f"The file has {len(columns)} columns for {field}: {_and(shown[at] for at in columns)}. "
                "The layout has to say which one counts."
            )
    return Columns(delimiter, shown, {field: columns[0] for field, columns in claims.items()})


def _from_positions(delimiter: str, table: list[list[str]], layout: Layout) -> Columns:
    width = layout.columns or 0
    if not any(len(row) == width for row in table):
        raise FileMissingColumns(
            f"The file's first row has {len(_first(table))} columns, "
            f"the layout {layout.name} expects {width}."
        )
    at = {field: columns[0] for field, columns in layout.claims([]).items()}
    return Columns(delimiter, tuple(f"column {number}" for number in range(1, width + 1)), at)


def _missing(missing: Sequence[FieldName], headers: Sequence[str], layout: Layout) -> str:
    parts = []
    for field in missing:
        names = layout.fields.get(field)
        aliases = f" (or {', '.join(names)})" if isinstance(names, tuple) and names else ""
        parts.append(f"{field}{aliases}")
    text = f"The file has no column {_and(parts)}."
    if not headers:  # the first row may then be a person's, so that it is not shown
        return text + " None of its first row's entries is a column of the layout: the header row is missing?"
    more = f" and {len(headers) - SHOWN} more" if len(headers) > SHOWN else ""
    return f"{text} Its columns are {', '.join(headers[:SHOWN])}{more}."


def _and(parts: Iterable[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
