"""Licence files that were fetched and kept."""

from datetime import datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.constants import FileState
from app.models.base import district_field, enum_type, utc_now


class ImportFile(SQLModel, table=True):
    """A file in the download folder: retained as a fallback, or quarantined for a look (I2).

    `datestamp` is the local ISO time in the file's name, so that text order is time order.
    """

    __tablename__ = "import_file"
    __table_args__ = (sa.UniqueConstraint("district_id", "name", "sha256", "state"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    district_id: str = district_field()
    name: str = Field(max_length=255)
    datestamp: str = Field(max_length=32)
    sha256: str = Field(max_length=64)
    size: int = Field(sa_type=sa.BigInteger)
    stored_as: str = Field(max_length=64)
    state: FileState = Field(sa_type=enum_type(FileState))
    run_id: UUID | None = None
    fetched_at: datetime = Field(default_factory=utc_now)
