"""Bodies of employees."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.api.schemas.base import Answer, Body, Code, Example, Name
from app.constants import EmployeeStatus

MAX_ITEMS = 10_000
EXAMPLE: Example = {
    "employee_number": "1001",
    "state_staff_id": "0045127",
    "last_name": "Marsh",
    "first_name": "Kathryn",
    "middle_name": None,
    "legal_last_name": None,
    "legal_first_name": "Katherine",
    "former_last_name": None,
    "status": "active",
    "job_class": "TEACHER",
}


class EmployeeFields(Body):
    """All that is known of an employee but the number."""

    state_staff_id: Code | None = Field(
        None, description="The Educator ID that the state gave; leading zeros do not count."
    )
    last_name: Name
    first_name: Name
    middle_name: Name | None = None
    legal_last_name: Name | None = Field(None, description="Where it differs: what the state knows.")
    legal_first_name: Name | None = Field(None, description="Where it differs: what the state knows.")
    former_last_name: Name | None = None
    status: Annotated[EmployeeStatus, Field(strict=False)] = Field(
        description="Only active employees are matched."
    )
    job_class: Code | None = Field(None, description="An unknown one is created, without requirements.")


class EmployeePut(EmployeeFields):
    """An employee as a whole; what is left out becomes null."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    employee_number: Code | None = Field(None, description="If given, the one in the path.")


class EmployeeItem(EmployeeFields):
    """One employee of a bulk request."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    employee_number: Code


class EmployeeBulk(Body):
    """Employees to add or to update, by number: all of them or, if one is wrong, none."""

    items: list[EmployeeItem] = Field(max_length=MAX_ITEMS)

    @field_validator("items", mode="wrap")
    @classmethod
    def locate_every_fault(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        """Report numbers that occur twice together with all wrong values: one try shows everything."""
        faults = list(_duplicates(value))
        try:
            items = handler(value)
        except ValidationError as error:
            faults += [
                InitErrorDetails(
                    type=PydanticCustomError(fault["type"], "{text}", {"text": fault["msg"]}),
                    loc=fault["loc"],
                    input=None,
                )
                for fault in error.errors(include_input=False, include_url=False)
            ]
        if faults:
            faults.sort(key=lambda fault: [str(part).zfill(6) for part in fault["loc"][:1]])
            raise ValidationError.from_exception_data("items", faults)
        return items


def _duplicates(items: Any) -> Iterator[InitErrorDetails]:
    """Yield a fault for each number that an earlier item has; takes items as they were sent."""
    first_at: dict[str, int] = {}
    for index, item in enumerate(items if isinstance(items, list) else ()):
        number = item.get("employee_number") if isinstance(item, dict) else None
        if not isinstance(number, str):
            continue
        if (first := first_at.setdefault(number.strip(), index)) != index:
            yield InitErrorDetails(
                type=PydanticCustomError(
                    "duplicate",
                    "is also the number of item {first}; send each employee once",
                    {"first": first},
                ),
                loc=(index, "employee_number"),
                input=None,
            )


class EmployeeOut(Answer):
    """An employee."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE | {"version": 7}]})

    employee_number: str
    state_staff_id: str | None
    last_name: str
    first_name: str
    middle_name: str | None
    legal_last_name: str | None
    legal_first_name: str | None
    former_last_name: str | None
    status: EmployeeStatus
    job_class: str | None
    version: int


class BulkCounts(Answer):
    """What became of the items of a bulk request."""

    created: int
    updated: int
    unchanged: int
