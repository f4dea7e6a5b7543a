"""Turns a run's report into the HTML of its PDF: what is printed, how much of it, in which words."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import cache, partial
from typing import Any
from zoneinfo import ZoneInfo

import jinja2

from app.pipeline.changes import SHOWN
from app.pipeline.difference import Change
from app.pipeline.printable import Printable
from app.pipeline.report import LISTS

_FIELD_WORDS = {
    "educator_id": "Educator ID",
    "last_name": "last name",
    "first_name": "first name",
    "issue_date": "issue date",
    "expiration_date": "expiration date",
}
_NESTED = {"certifications", "records"}
_NESTED_ROWS = 5  # entries of one item that get a row of their own
_ROW_CHARACTERS = 150  # an item with more text counts as more rows, as it is as dear to print
_ITEM_CHARACTERS = 100  # longest value in a list: a reason for a rejection has up to about 90
_TEXT_CHARACTERS = 500  # longest text outside the lists
_WARNINGS = 20
_OTHER_STATUSES = 8


def report_html(report: Mapping[str, Any], max_rows: int) -> str:
    """Return the whole HTML document; it refers to nothing outside itself.

    Args:
        report: the structure of report.json; its lists may already be cut.
        max_rows: rows printed over all lists; a skipped employee's candidate and an expired
            certification are rows, and an item with very long texts counts as several.
    """
    zone = ZoneInfo(report["district"]["timezone"])
    printable = Printable()
    facts = {name: value for name, value in report.items() if name not in {"lists", "warnings"}}
    warnings = report["warnings"]
    summary = report["summary"]
    statuses = _other_statuses(summary["rows_by_other_status"]) if summary else []
    return _template().render(
        printable.clean(facts, _TEXT_CHARACTERS),
        lists=_printed_lists(report["lists"], max_rows, printable),
        warnings=printable.clean(warnings[:_WARNINGS], _TEXT_CHARACTERS),
        more_warnings=max(0, len(warnings) - _WARNINGS),
        other_statuses=printable.clean(statuses, _ITEM_CHARACTERS),
        attention=_attention(report),
        generated=datetime.now(UTC).isoformat(),
        zone=zone.key,
        instant=partial(_instant, zone=zone),
        duration=_duration(report["run"]),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("app"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: "blank" if value is None else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "plural": _plural,
        "size": _size,
        "day": _day,
        "fields": _fields,
    }
    return environment.get_template("report.html.j2")


# What is printed


def _printed_lists(
    lists: Mapping[str, Mapping[str, Any]], max_rows: int, printable: Printable
) -> dict[str, dict[str, Any]]:
    """Share `max_rows` out over the lists: half of it evenly, so that none is starved, the rest by order."""
    items = {
        name: [
            printable.clean(_cut(_by_record(item)), _ITEM_CHARACTERS)
            for item in lists[name]["items"][:max_rows]
        ]
        for name in LISTS.values()
        if name in lists
    }
    needs = {name: sum(map(_rows_of, entries)) for name, entries in items.items()}
    even = max_rows // 2 // max(1, sum(need > 0 for need in needs.values()))
    shares = {name: min(need, even) for name, need in needs.items()}
    left = max_rows - sum(shares.values())
    for name, need in needs.items():
        extra = min(need - shares[name], left)
        shares[name] += extra
        left -= extra
    return {
        name: {"total": lists[name]["total"], "items": _fitting(items[name], share)}
        for name, share in shares.items()
    }


def _by_record(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an employee's changes as one list of records, each with what is said of it."""
    if "added" not in item:
        return item
    who = {name: value for name, value in item.items() if name not in set(Change)}
    names = ("record", "license_number", "license_type", "code", "manual_edit")
    records = [
        {"change": change.value, "details": _details(record), **{name: record[name] for name in names}}
        for change in Change
        for record in item[change]
    ]
    return {**who, "records": records}


def _cut(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an item with the first few of its certifications or records, and the number of the others."""
    for name in _NESTED.intersection(item):
        nested = item[name]
        more = max(0, len(nested) - _NESTED_ROWS)
        return {**item, name: nested[:_NESTED_ROWS], f"more_{name}": more}
    return item


def _rows_of(item: Mapping[str, Any]) -> int:
    nested = item.get("candidates") or item.get("certifications") or item.get("records") or ()
    return max(1, len(nested), math.ceil(_characters(item) / _ROW_CHARACTERS))


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list) else 0


def _fitting(items: Sequence[Mapping[str, Any]], rows: int) -> list[Mapping[str, Any]]:
    fitting = []
    for item in items:
        rows -= _rows_of(item)
        if rows < 0:
            break
        fitting.append(item)
    return fitting


def _other_statuses(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the most frequent statuses that are not imported; a damaged file can have thousands."""
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    rest = sum(count for _, count in ranked[_OTHER_STATUSES:])
    return [*ranked[:_OTHER_STATUSES], ("all others", rest)] if rest else ranked


# How it is worded


def _attention(report: Mapping[str, Any]) -> list[str]:
    """Return what a person has to look at, as phrases of the headline."""
    summary = report["summary"]
    if not summary:
        return []
    phrases = (
        (summary["employees_skipped"], "{} skipped because an Educator ID or a name disagrees"),
        (
            summary["employees_missing_certification"],
            "{} without the certification that the job class requires",
        ),
        (summary["employees_expired_certification"], "{} with an expired certification"),
    )
    return [phrase.format(_plural(count, "employee")) for count, phrase in phrases if count]


def _details(record: Mapping[str, Any]) -> list[str]:
    """Return what changes of a record, or what one that comes or goes says."""
    if "fields" in record:
        return [
            f"{_label(name)}: {_value(name, values['old'])} → {_value(name, values['new'])}"
            for name, values in record["fields"].items()
        ]
    return [f"{_label(name)}: {_value(name, record[name])}" for name in SHOWN.values() if record.get(name)]


def _label(name: str) -> str:
    return _FIELD_WORDS.get(name, name)


def _value(name: str, value: str | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _day(value) if name.endswith("_date") else value or "blank"


def _number(value: int) -> str:
    return f"{value:,}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _fields(names: Sequence[str]) -> str:
    """Return field names as a capitalised phrase: `Educator ID and last name`."""
    if not names:
        return ""
    phrase = _words([_label(name) for name in names])
    return phrase[0].upper() + phrase[1:]


def _words(parts: Sequence[str]) -> str:
    """Return a list in plain English: `a`, `a and b`, `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _size(count: int) -> str:
    if count < 1000:  # noqa: PLR2004 - below it bytes are the unit
        return _plural(count, "byte")
    value, unit = float(count), "bytes"
    for unit in ("kB", "MB", "GB"):  # noqa: B007 - the unit is read after the loop
        value /= 1000
        if value < 999.95:  # noqa: PLR2004 - rounds to less than 1,000.0
            break
    return f"{value:,.1f} {unit} ({count:,} bytes)"


def _day(value: str | None) -> str:
    """Return `2026-06-30` as `Jun 30, 2026`, with the time of day unless it is midnight."""
    if value is None:
        return "blank"
    moment = datetime.fromisoformat(value)
    return f"{_date(moment)}, {_clock(moment)}" if moment.time() != time.min else _date(moment)


def _instant(value: str | None, zone: ZoneInfo) -> str:
    """Return an RFC 3339 instant in the district's time zone, with the zone's abbreviation."""
    if value is None:
        return "not recorded"
    moment = datetime.fromisoformat(value).astimezone(zone)
    return f"{_date(moment)}, {_clock(moment)} {moment.tzname()}"


def _date(moment: date) -> str:
    return f"{moment:%b} {moment.day}, {moment.year}"


def _clock(moment: datetime) -> str:
    return f"{moment.hour % 12 or 12}:{moment:%M:%S %p}"


def _duration(run: Mapping[str, Any]) -> str | None:
    if run["actual_start"] is None or run["end"] is None:
        return None
    seconds = (
        datetime.fromisoformat(run["end"]) - datetime.fromisoformat(run["actual_start"])
    ).total_seconds()
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "hour"), (minutes, "minute"), (rest, "second")]
    return _words([_plural(count, unit) for count, unit in parts if count] or ["less than a second"])
