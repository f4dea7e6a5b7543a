"""Bodies of retained files."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from app.api.schemas.base import Answer
from app.constants import FileState


class ImportFileOut(Answer):
    """A licence file that is kept as a fallback."""

    id: UUID
    name: str = Field(examples=["Curr_Lic_Eds_End_Limits_20261122.csv"])
    datestamp: str = Field(description="Local time in the name.", examples=["2026-11-22T00:00:00"])
    sha256: str = Field(description="64 hexadecimal digits.")
    size: int = Field(description="Bytes.")
    state: FileState
    fetched_at: datetime
    run_id: UUID | None
