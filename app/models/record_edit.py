"""What people did to certifications and endorsements by hand."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.constants import EditAction, RecordKind
from app.models.base import BIG_ID, district_field, enum_type, utc_now


class RecordEdit(SQLModel, table=True):
    """One write by a person; an import lists the ones it goes over, deletions too (I5).

    `run_id` is the import that came after it; until then the edit is pending. `before` and `after` hold the
    fields of the record under the names of the HTTP contract, null for one that did not exist.
    """

    __tablename__ = "record_edit"
    __table_args__ = (
        sa.Index(
            "ix_record_edit_pending",
            "district_id",
            sqlite_where=sa.text("run_id IS NULL"),
            postgresql_where=sa.text("run_id IS NULL"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG_ID)
    district_id: str = district_field()
    at: datetime = Field(default_factory=utc_now)
    edited_by: str = Field(max_length=200)
    action: EditAction = Field(sa_type=enum_type(EditAction))
    record: RecordKind = Field(sa_type=enum_type(RecordKind))
    public_id: UUID
    employee_number: str = Field(max_length=64)
    license_number: str = Field(sa_type=sa.Text)
    license_type: str = Field(default="", sa_type=sa.Text)
    code: str | None = Field(default=None, sa_type=sa.Text)
    before: dict[str, Any] | None = Field(default=None, sa_type=sa.JSON)
    after: dict[str, Any] | None = Field(default=None, sa_type=sa.JSON)
    run_id: UUID | None = None
