"""The audit trail: events, what they say of a record, and the chain that seals them.

Triggers (migration 0008) refuse every change of these tables, and every deletion but that of events which
`AuditAnchor` has passed, and of payloads that `AuditRedaction` names.
"""

import secrets
import time
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.models.base import district_field, utc_now


def time_ordered_id() -> UUID:
    """Return an id that begins with the time (RFC 9562, UUIDv7): new rows go to the end of every index."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | secrets.randbits(80)
    value &= ~((0xF << 76) | (0b11 << 62))
    return UUID(int=value | (7 << 76) | (0b10 << 62))


class AuditEvent(SQLModel, table=True):
    """Who did what to which kind of record, when, over what and from where. A row is never changed.

    `action`, `interface` and `record_type` are those of `constants`, without a CHECK: the release before must
    be able to run beside one that knows more. `payload_digest` is that of the event's payload, which may be
    deleted and leave the event, and the chain, as they are.
    """

    __tablename__ = "audit_event"
    __table_args__ = (
        sa.Index(None, "district_id", "at", "id"),
        sa.Index("ix_audit_event_actor", "district_id", "actor", "at"),
        sa.Index(
            "ix_audit_event_run",
            "district_id",
            "run_id",
            sqlite_where=sa.text("run_id IS NOT NULL"),
            postgresql_where=sa.text("run_id IS NOT NULL"),
        ),
    )

    id: UUID = Field(default_factory=time_ordered_id, primary_key=True)
    district_id: str = district_field()
    at: datetime = Field(default_factory=utc_now)
    actor: str = Field(max_length=200)
    token_id: UUID | None = None
    interface: str = Field(max_length=16)
    address: str | None = Field(default=None, max_length=255)
    request_id: str | None = Field(default=None, max_length=64)
    run_id: UUID | None = None
    action: str = Field(max_length=32)
    record_type: str = Field(max_length=32)
    payload_digest: str = Field(max_length=64)


class AuditPayload(SQLModel, table=True):
    """What an event says of a record, all that may be about a person: its key, its content before and after.

    `content` is JSON as a text, since the digest is of its bytes.
    """

    __tablename__ = "audit_payload"
    __table_args__ = (
        sa.Index("ix_audit_payload_employee", "employee_number", "district_id"),
        sa.Index("ix_audit_payload_record", "record_id", "district_id"),
    )

    event_id: UUID = Field(primary_key=True, foreign_key="audit_event.id")
    district_id: str = district_field()
    record_id: str | None = Field(default=None, max_length=200)
    employee_number: str | None = Field(default=None, max_length=64)
    salt: str = Field(max_length=32)
    content: str = Field(sa_type=sa.Text)


class AuditSeal(SQLModel, table=True):
    """A link of a district's chain: `hash` covers the event, the link's number and the hash before it.

    `event_id` is no foreign key: retention deletes an event before its seal, by which its trigger decides.
    """

    __tablename__ = "audit_seal"
    __table_args__ = (sa.UniqueConstraint("district_id", "event_id"),)

    district_id: str = district_field(primary_key=True)
    sequence: int = Field(primary_key=True, sa_type=sa.BigInteger)
    event_id: UUID
    hash: str = Field(max_length=64)


class AuditAnchor(SQLModel, table=True):
    """Where a district's chain begins: the last link that retention deleted. It only moves forward."""

    __tablename__ = "audit_anchor"

    district_id: str = district_field(primary_key=True)
    sequence: int = Field(sa_type=sa.BigInteger)
    hash: str = Field(max_length=64)


class AuditRedaction(SQLModel, table=True):
    """That the payload of an event was deleted on purpose; `redaction_id` is the event that tells of it."""

    __tablename__ = "audit_redaction"
    __table_args__ = (sa.Index(None, "redaction_id"),)

    event_id: UUID = Field(primary_key=True)
    district_id: str = district_field()
    redaction_id: UUID = Field(foreign_key="audit_event.id")
