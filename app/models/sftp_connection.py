"""The connection to the state's server, and what became of each attempt to use it."""

from datetime import datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.constants import ConnectionPhase
from app.models.base import district_field, enum_type, utc_now

_FAILED = sa.text("NOT succeeded")


class SftpConnection(SQLModel, table=True):
    """How a district reaches the state's server; what identifies or opens it is encrypted (I11)."""

    __tablename__ = "sftp_connection"

    district_id: str = district_field(primary_key=True)
    host_encrypted: str = Field(sa_type=sa.Text)
    port: int
    username_encrypted: str = Field(sa_type=sa.Text)
    password_encrypted: str | None = Field(default=None, sa_type=sa.Text)
    private_key_encrypted: str | None = Field(default=None, sa_type=sa.Text)
    fingerprint_encrypted: str = Field(sa_type=sa.Text)
    directory: str = Field(max_length=1024)
    updated_by: str = Field(max_length=200)
    updated_at: datetime = Field(default_factory=utc_now)
    version: int = Field(sa_type=sa.BigInteger)


class ConnectionEvent(SQLModel, table=True):
    """One attempt to use the connection: a security event (I10)."""

    __tablename__ = "connection_event"
    __table_args__ = (
        sa.Index(None, "district_id", "at", "id"),
        sa.Index("ix_connection_event_failed", "at", sqlite_where=_FAILED, postgresql_where=_FAILED),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    district_id: str = district_field()
    at: datetime = Field(default_factory=utc_now)
    host_encrypted: str = Field(sa_type=sa.Text)
    port: int
    username_encrypted: str = Field(sa_type=sa.Text)
    phase: ConnectionPhase = Field(sa_type=enum_type(ConnectionPhase))
    succeeded: bool
    failure_code: str | None = Field(default=None, max_length=64)
    message: str = Field(default="", sa_type=sa.Text)
    run_id: UUID | None = None
