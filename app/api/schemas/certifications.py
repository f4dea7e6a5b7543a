"""Bodies of certifications and endorsements."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from app.api.schemas.base import Answer, Body, Code, Day, Example, no_control_characters
from app.constants import RecordSource
from app.pipeline.cells import MAX_FREE_TEXT, MAX_TEXT, free_text, present, short
from app.pipeline.dates import FIRST_YEAR, LAST_YEAR

EXAMPLE: Example = {
    "id": "6f1c2b1e-9d64-5a0e-8a51-3c2d4f5b6a70",
    "employee_number": "1001",
    "license_number": "VT0045127",
    "license_type": "Level II",
    "status": "ACT",
    "issue_date": "2024-07-01",
    "expiration_date": "2029-06-30",
    "source": "import",
    "run_id": "c6d7f0de-53f4-4d4a-9b0a-5f3c6f1d2e11",
    "updated_by": "kmarsh",
    "updated_at": "2026-11-22T07:31:04Z",
    "version": 7,
}
ENDORSEMENT_EXAMPLE: Example = {
    "id": "0d2b7a1c-1f3e-52a4-9c55-7e8f9a0b1c2d",
    "certification_id": EXAMPLE["id"],
    "employee_number": "1001",
    "code": "11",
    "description": "Mathematics",
    "issue_date": "2024-07-01",
    "expiration_date": "2029-06-30",
    "limitation": "Grades 7-12",
    "primary": True,
    **{name: EXAMPLE[name] for name in ("source", "run_id", "updated_by", "updated_at", "version")},
}
BODY: Example = {
    name: EXAMPLE[name]
    for name in (
        "employee_number",
        "license_number",
        "license_type",
        "status",
        "issue_date",
        "expiration_date",
    )
}
ENDORSEMENT_BODY: Example = {
    name: ENDORSEMENT_EXAMPLE[name]
    for name in (
        "certification_id",
        "code",
        "description",
        "issue_date",
        "expiration_date",
        "limitation",
        "primary",
    )
}
MAX_STATUS = 64
"""Characters of a status, as its column has them."""
KEPT = "If given, the present value: it identifies the record."


def as_status(text: str) -> str:
    """Return a status as an import stores it; raises ValueError when it is blank or too long."""
    return short(present(text).upper(), MAX_STATUS)


def as_free_text(text: str) -> str | None:
    """Return a text as an import stores it, blank as None; its line breaks and tabs are kept."""
    no_control_characters(text.translate(dict.fromkeys(map(ord, "\t\n\r"), " ")))
    return free_text(text) or None


def in_calendar(day: date) -> date:
    """Return a date that a licence can have; raises ValueError for a typing error or a stand-in."""
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"must be a date of {FIRST_YEAR} to {LAST_YEAR}")
    return day


_TRIMMED = StringConstraints(strip_whitespace=True)  # it also refuses half of a surrogate pair
_ONE_LINE = AfterValidator(no_control_characters)


def _documented(min_length: int, max_length: int) -> Any:
    return Field(json_schema_extra={"minLength": min_length, "maxLength": max_length})


def _optional(description: str | None = None) -> Any:
    """Return a field of a PATCH. No default is documented: a client that fills them in would clear things."""
    return Field(default_factory=lambda: None, description=description)


# Read as the cells of a licence file are, so that a record has the same id whoever writes it.
Identifier = Annotated[str, _TRIMMED, AfterValidator(present), _ONE_LINE, _documented(1, MAX_TEXT)]
LicenceType = Annotated[str, _TRIMMED, AfterValidator(short), _ONE_LINE, _documented(0, MAX_TEXT)]
Status = Annotated[str, _TRIMMED, AfterValidator(as_status), _ONE_LINE, _documented(1, MAX_STATUS)]
FreeText = Annotated[str, _TRIMMED, AfterValidator(as_free_text), _documented(0, MAX_FREE_TEXT)]
LicenceDay = Annotated[Day, AfterValidator(in_calendar)]
RecordId = Annotated[UUID, Field(strict=False)]


class CertificationCreate(Body):
    """A licence of an employee, active or terminated."""

    model_config = ConfigDict(json_schema_extra={"examples": [BODY]})

    employee_number: Code
    license_number: Identifier
    license_type: LicenceType = ""
    status: Status = Field(description="As the state gives it, such as `ACT`; stored in capitals.")
    issue_date: LicenceDay | None = None
    expiration_date: LicenceDay | None = Field(None, description="Not before the issue date.")


class CertificationPatch(Body):
    """What to change of a certification; what is left out stays, null clears a date."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "UDR", "expiration_date": "2030-06-30"}]}
    )

    employee_number: Code = _optional(KEPT)
    license_number: Identifier = _optional(KEPT)
    license_type: LicenceType = _optional(KEPT)
    status: Status = _optional()
    issue_date: LicenceDay | None = _optional()
    expiration_date: LicenceDay | None = _optional()


class EndorsementCreate(Body):
    """An endorsement on a certification that exists."""

    model_config = ConfigDict(json_schema_extra={"examples": [ENDORSEMENT_BODY]})

    certification_id: RecordId
    employee_number: Code | None = Field(None, description="If given, the certification's.")
    code: Identifier
    description: FreeText | None = None
    issue_date: LicenceDay | None = None
    expiration_date: LicenceDay | None = Field(None, description="Not before the issue date.")
    limitation: FreeText | None = None
    primary: bool = Field(default=False, description="The employee's main endorsement; one at most.")


class EndorsementPatch(Body):
    """What to change of an endorsement; what is left out stays, null clears."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"limitation": "Grades 5-12", "primary": False}]}
    )

    certification_id: RecordId = _optional(KEPT)
    employee_number: Code = _optional(KEPT)
    code: Identifier = _optional(KEPT)
    description: FreeText | None = _optional()
    issue_date: LicenceDay | None = _optional()
    expiration_date: LicenceDay | None = _optional()
    limitation: FreeText | None = _optional()
    primary: bool = _optional("True only while no other endorsement of the employee is.")


class RecordOut(Answer):
    """What certifications and endorsements have in common."""

    id: UUID = Field(description="The same after every import, as long as the state lists it.")
    employee_number: str
    issue_date: date | None
    expiration_date: date | None
    source: RecordSource = Field(description="Who wrote it last.")
    run_id: UUID | None = Field(description="The import that wrote it last.")
    updated_by: str
    updated_at: datetime
    version: int


class CertificationOut(RecordOut):
    """A licence that an employee holds."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    license_number: str
    license_type: str
    status: str = Field(description="As the state gives it, such as `ACT`.")


class EndorsementOut(RecordOut):
    """What a certification allows its holder to teach."""

    model_config = ConfigDict(json_schema_extra={"examples": [ENDORSEMENT_EXAMPLE]})

    certification_id: UUID
    code: str
    description: str | None
    limitation: str | None
    primary: bool = Field(description="The employee's main endorsement; one at most.")
