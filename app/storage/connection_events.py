"""Attempts to use the state's server: security events, with host and user encrypted (I10, I11)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

import sqlalchemy as sa
import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import ConnectionPhase
from app.crypto import Cipher
from app.failures import RunFailure
from app.models import ConnectionEvent
from app.storage.filters import any_of, between, exact, named
from app.storage.pages import Listing, Page, PageRequest, fetch_page
from app.storage.sftp import SftpTarget

event = ConnectionEvent.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

OUTCOME = sa.case((event.c.succeeded, "success"), else_="failure")
LISTING = Listing(
    name="connection-events",
    key=(event.c.id,),
    default="-at",
    sortable=named(event.c.at, event.c.port, event.c.phase, event.c.failure_code, outcome=OUTCOME),
    filters={
        **exact(event.c.port, event.c.failure_code, event.c.run_id, outcome=OUTCOME),
        **any_of(event.c.phase),
        **between(at=event.c.at),
    },
    # Host and user are encrypted: the database can neither compare nor search them.
    searched=(event.c.phase, event.c.failure_code, event.c.message, OUTCOME),
)

log = structlog.get_logger()


@dataclass(frozen=True)
class OpenedEvent:
    """An attempt with host and user in clear."""

    id: UUID
    at: datetime
    host: str
    port: int
    username: str
    phase: ConnectionPhase
    outcome: Literal["success", "failure"]
    failure_code: str | None
    message: str
    run_id: UUID | None


def place(column: str, event_id: UUID) -> str:
    """Return where a ciphertext of an event belongs, as its associated data."""
    return f"connection_event/{column}/{event_id}"


async def record_event(
    session: AsyncSession,
    cipher: Cipher,
    target: SftpTarget,
    *,
    district_id: str,
    run_id: UUID | None,
    outcome: ConnectionPhase | RunFailure,
) -> None:
    """Add an attempt: `outcome` is how far a good one came, or the failure of another."""
    event_id = uuid4()
    failure = outcome if isinstance(outcome, RunFailure) else None
    if isinstance(outcome, RunFailure):
        phase = ConnectionPhase(outcome.diagnosis.get("phase", ConnectionPhase.CONNECT))
    else:
        phase = outcome
    session.add(
        ConnectionEvent(
            id=event_id,
            district_id=district_id,
            host_encrypted=cipher.encrypt(target.host, place("host", event_id)),
            port=target.port,
            username_encrypted=cipher.encrypt(target.username, place("username", event_id)),
            phase=phase,
            succeeded=failure is None,
            failure_code=failure.code if failure else None,
            message=failure.message if failure else "",
            run_id=run_id,
        )
    )
    await session.flush()
    if failure:
        log.warning(
            "connection_failed", event_id=str(event_id), district=district_id, failure_code=failure.code
        )


async def page(
    session: AsyncSession, cipher: Cipher, district_id: str, request: PageRequest
) -> Page[OpenedEvent]:
    """Return a page of attempts; raises DecryptionError."""
    query = sa.select(ConnectionEvent).where(event.c.district_id == district_id)
    found = await fetch_page(session, query, LISTING, request)
    return Page([_open(cipher, row) for row in found.items], found.next_cursor)


def _open(cipher: Cipher, row: ConnectionEvent) -> OpenedEvent:
    return OpenedEvent(
        id=row.id,
        at=row.at,
        host=cipher.decrypt(row.host_encrypted, place("host", row.id)),
        port=row.port,
        username=cipher.decrypt(row.username_encrypted, place("username", row.id)),
        phase=row.phase,
        outcome="success" if row.succeeded else "failure",
        failure_code=row.failure_code,
        message=row.message,
        run_id=row.run_id,
    )
