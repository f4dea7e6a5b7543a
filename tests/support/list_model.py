"""What a list is to answer, in plain Python over the items of the whole list."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Item = dict[str, Any]


@dataclass(frozen=True)
class Parameter:
    """A filter: whether an item matches, and which values are worth asking for."""

    field: str
    matches: Callable[[Any, Any], bool]
    many: bool = False

    def values(self, items: list[Item]) -> list[str]:
        """Return what the parameter can be sent as, from the values that the items have."""
        found: list[Any] = [value_of(item, self.field) for item in items]
        flat = [each for value in found for each in (value if isinstance(value, list) else [value])]
        return sorted({as_sent(each) for each in flat if each not in ("", None)})

    def holds(self, item: Item, wanted: list[str]) -> bool:
        value = value_of(item, self.field)
        return value is not None and any(self.matches(as_sent(value), each) for each in wanted)


def as_sent(value: Any) -> Any:
    """Return the value as a query has it; lists stay, they are looked into."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def exact(field: str) -> Parameter:
    return Parameter(field, lambda value, wanted: bool(value == wanted))


def any_of(field: str) -> Parameter:
    return Parameter(field, lambda value, wanted: bool(value == wanted), many=True)


def part(field: str) -> Parameter:
    return Parameter(field, lambda value, wanted: wanted.casefold() in value.casefold())


def has(field: str) -> Parameter:
    return Parameter(field, lambda value, wanted: wanted in value)


def span(name: str, field: str) -> dict[str, Parameter]:
    return {
        f"{name}_from": Parameter(field, lambda value, wanted: bool(value >= wanted)),
        f"{name}_to": Parameter(field, lambda value, wanted: bool(value <= wanted)),
    }


def value_of(item: Item, field: str) -> Any:
    """Return a field of an item; `file.name` is one of an object in it."""
    value: Any = item
    for name in FIELDS.get(field, field).split("."):
        value = value and value[name]
    return value


FIELDS = {
    **{f"file_{name}": f"file.{name}" for name in ("name", "datestamp", "sha256", "reused")},
    "failure": "failure.code",
    "failure_message": "failure.message",
}
RECORD = {
    "employee_number": exact("employee_number"),
    "source": any_of("source"),
    "run_id": exact("run_id"),
    "updated_by": exact("updated_by"),
    **span("issued", "issue_date"),
    **span("expires", "expiration_date"),
    **span("updated", "updated_at"),
}
NAMES = (
    "last_name",
    "first_name",
    "middle_name",
    "legal_last_name",
    "legal_first_name",
    "former_last_name",
)
PARAMETERS: dict[str, dict[str, Parameter]] = {
    "runs": {
        "task_description": part("task_description"),
        **{name: part(name) for name in ("file_name", "file_datestamp")},
        **{name: exact(name) for name in ("file_sha256", "file_reused", "progress")},
        "failure_code": exact("failure"),
        "run_by": exact("run_by"),
        "late": exact("late"),
        "report": exact("report"),
        "task_id": exact("task_id"),
        **{name: any_of(name) for name in ("kind", "trigger", "status", "phase")},
        **span("scheduled", "scheduled_start"),
        **span("started", "actual_start"),
        **span("ended", "end"),
    },
    "tasks": {
        "description": part("description"),
        "status": any_of("status"),
        "recurrence": has("recurrence"),
        **{name: exact(name) for name in ("time", "timezone", "created_by", "updated_by")},
        **span("scheduled_start_date", "scheduled_start_date"),
        **span("next_run", "next_run_at"),
        **span("created", "created_at"),
        **span("updated", "updated_at"),
    },
    "certifications": {
        **RECORD,
        "license_number": exact("license_number"),
        "license_type": exact("license_type"),
        "status": any_of("status"),
    },
    "endorsements": {
        **RECORD,
        "certification_id": exact("certification_id"),
        "code": any_of("code"),
        "description": part("description"),
        "limitation": part("limitation"),
        "primary": exact("primary"),
    },
    "employees": {
        **{name: part(name) for name in NAMES},
        **{name: exact(name) for name in ("employee_number", "state_staff_id", "job_class")},
        "status": any_of("status"),
    },
    "job-classes": {
        "code": exact("code"),
        "title": part("title"),
        "certification_required": exact("certification_required"),
    },
    "connection-events": {
        "action": any_of("action"),
        "by": exact("by"),
        **{name: exact(name) for name in ("port", "outcome", "failure_code", "run_id")},
        "phase": any_of("phase"),
        **span("at", "at"),
    },
    "import-files": {
        "name": part("name"),
        **{name: exact(name) for name in ("state", "sha256", "run_id")},
        **span("fetched", "fetched_at"),
    },
}
RECORD_TEXTS = ("employee_number", "source", "updated_by")
TEXTS: dict[str, tuple[str, ...]] = {
    "runs": (
        *("task_description", "kind", "trigger", "status", "phase", "run_by"),
        *("file_name", "failure", "failure_message"),
    ),
    "tasks": ("description", "status", "timezone", "created_by", "updated_by"),
    "certifications": (*RECORD_TEXTS, "license_number", "license_type", "status"),
    "endorsements": (*RECORD_TEXTS, "code", "description", "limitation"),
    "employees": ("employee_number", "state_staff_id", "job_class", "status", *NAMES),
    "job-classes": ("code", "title"),
    "connection-events": ("action", "phase", "outcome", "failure_code", "message"),
    "import-files": ("name", "datestamp", "sha256"),
}
KEYS = {
    "employees": ("employee_number",),
    "job-classes": ("code",),
    "import-files": ("fetched_at", "id"),
}


def found_by(item: Item, noun: str, q: str) -> bool:
    texts = [(value_of(item, field) or "").casefold() for field in TEXTS[noun]]
    return all(any(word in text for text in texts) for word in q.casefold().split())


def in_order(items: list[Item], noun: str, sort: str) -> list[Item]:
    """Return the items sorted, ties by the key, nulls last or, descending, first."""

    def place(item: Item) -> tuple[Any, ...]:
        field = "failure" if (noun, name) == ("runs", "failure_code") else name
        values = [value_of(item, each) for each in (field, *KEYS.get(noun, ("id",)))]
        return tuple((value is None, "" if value is None else value) for value in values)

    name = sort.removeprefix("-")
    return sorted(items, key=place, reverse=sort.startswith("-"))
