"""A run's lists as JSON and CSV, streamed: a list may have hundreds of thousands of lines."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from app.constants import FindingKind
from app.models import Run
from app.pipeline.changes import SHOWN
from app.pipeline.difference import Change
from app.pipeline.report import LISTS
from app.services.runs import RunService

SKIPPED_COLUMNS = (
    "employee_number",
    "state_staff_id",
    "last_name",
    "first_name",
    "disagrees",
    "file_educator_id",
    "file_last_name",
    "file_first_name",
    "candidate_disagrees",
    "more_candidates",
)
CHANGES_COLUMNS = (
    "employee_number",
    "last_name",
    "first_name",
    "change",
    "record",
    "license_number",
    "license_type",
    "code",
    "field",
    "old",
    "new",
    "manual_edit_by",
    "manual_edit_at",
)
REJECTED_COLUMNS = ("line", "column", "value", "reason")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""OWASP's list (CSV injection); the last four are the first ones in full width, which some languages type."""


async def report_json(service: RunService, run: Run, report: dict[str, Any]) -> AsyncIterator[str]:
    """Yield the text of report.json: the outline, its lists filled in as they are read."""
    outline = {name: value for name, value in report.items() if name != "lists"}
    yield json.dumps(outline, ensure_ascii=False)[:-1] + ', "lists": {'
    kinds = {name: kind for kind, name in LISTS.items()}
    for place, (name, part) in enumerate(report["lists"].items()):
        yield f'{", " if place else ""}"{name}": {{"total": {part["total"]}, "items": ['
        first = True
        async for item in service.items(run, kinds[name]):
            yield ("" if first else ", ") + json.dumps(item, ensure_ascii=False)
            first = False
        yield "]}"
    yield "}}"


async def skipped_csv(service: RunService, run: Run) -> AsyncIterator[str]:
    """Yield skipped.csv: a line for each candidate of each skipped employee."""
    yield _line(SKIPPED_COLUMNS)
    async for item in service.items(run, FindingKind.SKIPPED):
        for candidate in item["candidates"]:
            yield _line(
                (
                    item["employee_number"],
                    item["state_staff_id"],
                    item["last_name"],
                    item["first_name"],
                    " ".join(item["disagrees"]),
                    candidate["educator_id"],
                    candidate["last_name"],
                    candidate["first_name"],
                    " ".join(candidate["disagrees"]),
                    item["more_candidates"],
                )
            )


async def rejected_csv(service: RunService, run: Run) -> AsyncIterator[str]:
    """Yield rejected.csv: a line for each rejected row of the file."""
    yield _line(REJECTED_COLUMNS)
    async for item in service.items(run, FindingKind.REJECTED):
        yield _line(item[column] for column in REJECTED_COLUMNS)


async def changes_csv(service: RunService, run: Run) -> AsyncIterator[str]:
    """Yield changes.csv: a line for each added or removed record, and for each field of a changed one."""
    yield _line(CHANGES_COLUMNS)
    async for item in service.items(run, FindingKind.CHANGE):
        for change in Change:
            for record in item[change]:
                edit = record["manual_edit"] or {"by": None, "at": None}
                for field, old, new in _differences(change, record):
                    yield _line(
                        (
                            *(item[name] for name in CHANGES_COLUMNS[:3]),
                            change.value,
                            *(record[name] for name in CHANGES_COLUMNS[4:8]),
                            field,
                            old,
                            new,
                            edit["by"],
                            edit["at"],
                        )
                    )


def _differences(change: Change, record: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    """Return (field, old, new) of each line; a record that comes or goes has one, with all it says."""
    match change:
        case Change.ADDED:
            return [(None, "", _content(record))]
        case Change.REMOVED:
            return [(None, _content(record), "")]
        case Change.CHANGED:
            return [
                (name, _text(values["old"]), _text(values["new"]))
                for name, values in record["fields"].items()
            ]


def _content(record: dict[str, Any]) -> str:
    """Return a record's values as text: `status: ACT; issue date: 2025-07-01`."""
    names = [name for name in SHOWN.values() if record.get(name)]
    return "; ".join(f"{name.replace('_', ' ')}: {_text(record[name])}" for name in names)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
    return str(value)


def _line(cells: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([_harmless(cell) for cell in cells])
    return buffer.getvalue()


def _harmless(cell: object) -> object:
    """Keep a spreadsheet from running a cell as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell
