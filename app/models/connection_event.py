"""What became of each attempt to use the connection, and what people did to it."""

from datetime import datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.constants import ConnectionPhase
from app.models.base import district_field, enum_type, utc_now

_FAILED = sa.text("NOT succeeded")


class ConnectionEvent(SQLModel, table=True):
    """One attempt to use the connection, or one change of it: a security event (I10).

    `action` is a ConnectionAction, without a CHECK: the release before must be able to run beside one that
    knows more of them. It is null in rows of a release that had none. `details_encrypted` is JSON.
    """

    __tablename__ = "connection_event"
    __table_args__ = (
        sa.Index(None, "district_id", "at", "id"),
        sa.Index("ix_connection_event_failed", "at", sqlite_where=_FAILED, postgresql_where=_FAILED),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    district_id: str = district_field()
    at: datetime = Field(default_factory=utc_now)
    action: str | None = Field(default=None, max_length=32)
    user_id: str | None = Field(default=None, max_length=200)
    process: str | None = Field(default=None, max_length=255)
    request_id: str | None = Field(default=None, max_length=64)
    host_encrypted: str = Field(sa_type=sa.Text)
    port: int
    username_encrypted: str = Field(sa_type=sa.Text)
    phase: ConnectionPhase = Field(sa_type=enum_type(ConnectionPhase))
    succeeded: bool
    failure_code: str | None = Field(default=None, max_length=64)
    message: str = Field(default="", sa_type=sa.Text)
    milliseconds: int | None = None
    bytes: int | None = Field(default=None, sa_type=sa.BigInteger)
    details_encrypted: str | None = Field(default=None, sa_type=sa.Text)
    run_id: UUID | None = None
