"""The connection to the state's server: how it is reached, how it stands, and what is proposed for it."""

from datetime import date, datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.models.base import district_field, utc_now


class SftpConnection(SQLModel, table=True):
    """How a district reaches the state's server; what identifies or opens it is encrypted (I11).

    The host key has one pin, and a second one while the state announces another key (B4).
    """

    __tablename__ = "sftp_connection"

    district_id: str = district_field(primary_key=True)
    host_encrypted: str = Field(sa_type=sa.Text)
    port: int
    username_encrypted: str = Field(sa_type=sa.Text)
    password_encrypted: str | None = Field(default=None, sa_type=sa.Text)
    private_key_encrypted: str | None = Field(default=None, sa_type=sa.Text)
    fingerprint_encrypted: str = Field(sa_type=sa.Text)
    fingerprint_since: datetime | None = None
    announced_fingerprint_encrypted: str | None = Field(default=None, sa_type=sa.Text)
    announced_from: date | None = None
    announced_since: datetime | None = None
    directory: str = Field(max_length=1024)
    updated_by: str = Field(max_length=200)
    updated_at: datetime = Field(default_factory=utc_now)
    version: int = Field(sa_type=sa.BigInteger)


class ConnectionState(SQLModel, table=True):
    """What attempts have shown of one version of the connection; it says nothing of any other.

    So whoever saves the connection ends its stop and its back-off, a process of another release included,
    and an attempt that began before says nothing of what was saved meanwhile.
    """

    __tablename__ = "connection_state"

    district_id: str = district_field(primary_key=True)
    connection_version: int = Field(sa_type=sa.BigInteger)
    host_key_in_use: str | None = Field(default=None, max_length=16)
    host_key_seen_at: datetime | None = None
    stopped_at: datetime | None = None
    stopped_run_id: UUID | None = None
    offered_encrypted: str | None = Field(default=None, sa_type=sa.Text)
    login_failures: int = 0
    backing_off_until: datetime | None = None


class ConnectionProposal(SQLModel, table=True):
    """A change of a pin that waits for a second person; only for the version that it was made on."""

    __tablename__ = "connection_proposal"

    district_id: str = district_field(primary_key=True)
    id: UUID = Field(default_factory=uuid4)
    connection_version: int = Field(sa_type=sa.BigInteger)
    content_encrypted: str = Field(sa_type=sa.Text)
    proposed_by: str = Field(max_length=200)
    proposed_at: datetime = Field(default_factory=utc_now)
