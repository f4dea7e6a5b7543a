"""Bodies of service tokens."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints
from sqlalchemy import Row

from app.access import GRANTABLE, Scope
from app.api.schemas.base import ONE_LINE, PATTERN, Answer, Body, Example, Instant
from app.models import ServiceToken
from app.storage.token_reads import Counts

EXAMPLE: Example = {"name": "erp-sync", "scopes": ["employees:write", "records:read"]}
TokenName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), ONE_LINE, PATTERN
]
Grantable = Annotated[Scope, Field(strict=False, json_schema_extra={"enum": sorted(GRANTABLE)})]


class ServiceTokenCreate(Body):
    """What a program may do, and until when."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: TokenName = Field(description="Names the program; its user id is `service:` and this.")
    scopes: list[Grantable] = Field(min_length=1, max_length=len(GRANTABLE))
    expires_at: Annotated[Instant, Field(strict=False)] | None = Field(
        None, description="At most 366 days from now; default: in 90 days."
    )


class TokenReadsOut(Answer):
    """What a token read of one kind."""

    kind: str = Field(
        description="`certifications`, `endorsements`, `employees`, `audit-events` or `run-reports`."
    )
    requests: int
    records: int = Field(description="Records in the answers; of a report, its lines; a PDF counts as one.")


class ServiceTokenOut(Answer):
    """A service token; never its secret."""

    id: UUID
    name: str
    scopes: list[Scope]
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_by: str | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="Of any use, up to a minute late.")
    reads: list[TokenReadsOut] = Field(
        [], description="Personal data that it read in the last 30 days, by kind; up to a minute late."
    )

    @classmethod
    def of(cls, row: ServiceToken | Row[Any], reads: Mapping[str, Counts] | None = None) -> Self:
        """Return a token with what it read."""
        shown = cls.model_validate(row)
        shown.reads = [TokenReadsOut(kind=kind, **counts._asdict()) for kind, counts in (reads or {}).items()]
        return shown


class ServiceTokenIssued(ServiceTokenOut):
    """A service token that was just made."""

    token: str | None = Field(
        description="Send it as `Authorization: Bearer …`. It is shown this once: null in a repeated answer."
    )
