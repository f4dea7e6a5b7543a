"""Body of the import lock."""

from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict, Field

from app.api.schemas.base import Answer


class ImportLockOut(Answer):
    """Whether an import keeps writers of certifications and endorsements out just now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "locked": True,
                    "run_id": "c6d7f0de-53f4-4d4a-9b0a-5f3c6f1d2e11",
                    "since": "2026-11-22T07:31:02Z",
                }
            ]
        }
    )

    locked: bool
    run_id: UUID | None = Field(description="The import, while it is locked, if it is known.")
    since: datetime | None = Field(description="When the import took the lock.")
