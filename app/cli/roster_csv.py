"""Reads rosters from CSV files whose header names the fields of the API; all faults are reported at once."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from app.api.schemas.base import Body, Code, Title
from app.api.schemas.employees import EmployeeItem
from app.errors import ConfigurationError, FieldError, ValidationFailedError

Item = TypeVar("Item", bound=BaseModel)

TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}
MORE = "has more cells than the header; put a cell with a comma in it in quotation marks"
SHOWN = 20
"""Faults printed of a file that has more."""


class JobClassItem(Body):
    """A line of a job-class file."""

    code: Code
    title: Title = ""
    certification_required: bool = False


def read_employees(path: Path) -> list[EmployeeItem]:
    """Return the employees of a file; raises ValidationFailedError that names line and column of a fault."""
    items, faults = _read(path, EmployeeItem)
    first_at: dict[str, int] = {}
    faults += [
        FieldError((f"line {line}", "employee_number"), f"is also in line {first}", "duplicate")
        for line, item in items
        if (first := first_at.setdefault(item.employee_number, line)) != line
    ]
    _raise(path, faults)
    return [item for _, item in items]


def read_job_classes(path: Path) -> list[JobClassItem]:
    """Return the job classes of a file; raises ValidationFailedError like `read_employees`."""
    items, faults = _read(path, JobClassItem)
    _raise(path, faults)
    return [item for _, item in items]


def _read(path: Path, model: type[Item]) -> tuple[list[tuple[int, Item]], list[FieldError]]:
    items: list[tuple[int, Item]] = []
    faults: list[FieldError] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames or [], model)
            for row in reader:
                if None in row:
                    faults.append(FieldError((f"line {reader.line_num}",), MORE, "more_cells"))
                    continue
                try:
                    items.append((reader.line_num, model(**_values(row, model))))
                except ValidationError as error:
                    faults += [
                        FieldError(
                            (f"line {reader.line_num}", *fault["loc"]),
                            fault["msg"].removeprefix("Value error, "),
                            fault["type"],
                        )
                        for fault in error.errors(include_input=False)
                    ]
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8; save it as CSV UTF-8") from error
    except csv.Error as error:
        raise ConfigurationError(f"{path}, line {reader.line_num}: not CSV: {error}") from error
    return items, faults


def _check_header(path: Path, header: Sequence[str], model: type[BaseModel]) -> None:
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    if missing := sorted(required - set(header)):
        known = ", ".join(model.model_fields)
        raise ConfigurationError(f"{path}: the header has no {', '.join(missing)}; known columns are {known}")


def _values(row: dict[str, str | None], model: type[BaseModel]) -> dict[str, object]:
    """Return a line's cells; an empty one is a field that is left out, a word stands for a truth value."""
    values: dict[str, object] = {}
    for name, text in row.items():
        if (text or "").strip() == "":
            continue
        is_truth = name in model.model_fields and model.model_fields[name].annotation is bool
        values[name] = TRUTH.get(str(text).strip().lower(), text) if is_truth else text
    return values


def _raise(path: Path, faults: list[FieldError]) -> None:
    if faults:
        more = f" The first {SHOWN} are shown." if len(faults) > SHOWN else ""
        raise ValidationFailedError(
            f"{path}: {len(faults)} fault{'s' * (len(faults) > 1)}; nothing was loaded.{more}",
            errors=faults[:SHOWN],
        )
