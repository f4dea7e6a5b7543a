"""Bodies of the audit trail."""

import json
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import sqlalchemy as sa
from pydantic import Field

from app.api.schemas.base import Answer
from app.constants import AuditAction, AuditInterface, AuditRecord


def _one_of(vocabulary: type[AuditAction] | type[AuditInterface] | type[AuditRecord]) -> Any:
    return Field(description=", ".join(f"`{member}`" for member in vocabulary) + ".")


class AuditEventOut(Answer):
    """Who did what to which record.

    Of what was `changed`, `before` and `after` have the fields that differ; of anything else, all that is
    recorded of it.
    """

    id: UUID
    at: datetime
    actor: str = Field(
        description="The user id; of a command, who typed it; `certsync`: nobody asked for it."
    )
    token_id: UUID | None = Field(description="The service token, if it was one.")
    interface: str = _one_of(AuditInterface)
    address: str | None = Field(description="Where it came from: an address, or the name of our machine.")
    request_id: str | None
    run_id: UUID | None
    action: str = _one_of(AuditAction)
    record_type: str = _one_of(AuditRecord)
    record_id: str | None
    employee_number: str | None = Field(description="Whom the record is about.")
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    redacted: bool = Field(description="What it said of a person was deleted; that it happened stays.")
    sequence: int | None = Field(description="Its link in the district's chain; null until it is sealed.")
    hash: str | None = Field(description="The link's SHA-256, over the event and the link before it.")

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Self:
        """Return an event as it is stored."""
        values = row._asdict()
        content = values.pop("content")
        said = json.loads(content) if content is not None else {"before": None, "after": None}
        return cls.model_validate({**values, **said, "redacted": content is None})
