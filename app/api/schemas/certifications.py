"""Bodies of certifications and endorsements."""

from datetime import date, datetime
from uuid import UUID

from pydantic import ConfigDict, Field

from app.api.pages import PageQuery
from app.api.schemas.base import Answer, Code, Example
from app.constants import RecordSource

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


class RecordQuery(PageQuery):
    """Query of a list of licence records."""

    employee_number: Code | None = Field(None, description="Only those of this employee.")


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
