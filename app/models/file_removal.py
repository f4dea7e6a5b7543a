"""Stored files that are to go: a promise that outlives whoever made it."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.models.base import district_field


class FileRemoval(SQLModel, table=True):
    """A file of the store that nothing points to any more, to be deleted at `due_at`.

    Written in the transaction that lets go of the file, so that it goes whatever dies after that.
    """

    __tablename__ = "file_removal"
    __table_args__ = (sa.Index(None, "district_id", "due_at"),)

    key: str = Field(primary_key=True, max_length=255)
    district_id: str = district_field()
    due_at: datetime
