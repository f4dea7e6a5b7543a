"""Attempts to use the state's server, and changes of the connection: security events (I10, I11).

Host, user and what was seen of the server are encrypted.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import ConnectionAction, ConnectionPhase
from app.crypto import Cipher
from app.models import ConnectionEvent
from app.storage import encrypted
from app.storage.filters import any_of, between, exact, named
from app.storage.pages import OF_DISTRICT, Listing, Page, PageRequest, fetch_page

event = ConnectionEvent.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

OUTCOME = sa.case((event.c.succeeded, "success"), else_="failure")
ACTION = sa.func.coalesce(event.c.action, sa.case((event.c.run_id.is_(None), "test"), else_="run"))
"""Rows of the release before have no action: it knew runs and tests."""
LISTING = Listing(
    name="connection-events",
    rows=sa.select(event).where(event.c.district_id == OF_DISTRICT),
    key=(event.c.id,),
    default="-at",
    sortable=named(
        event.c.at, event.c.port, event.c.phase, event.c.failure_code, outcome=OUTCOME, action=ACTION
    ),
    filters={
        **exact(event.c.port, event.c.failure_code, event.c.run_id, outcome=OUTCOME, by=event.c.user_id),
        **any_of(event.c.phase, action=ACTION),
        **between(at=event.c.at),
    },
    # Host and user are encrypted: the database can neither compare nor search them.
    searched=(event.c.phase, event.c.failure_code, event.c.message, OUTCOME, ACTION),
)

log = structlog.get_logger()


@dataclass(frozen=True)
class OpenedEvent:
    """An event with everything in clear.

    `action` is a ConnectionAction, or one of a later release. `by` is who made the attempt or the change, or
    let the run be; `process` where that happened, `details` what was seen of the server.
    """

    id: UUID
    district: str
    at: datetime
    action: str
    by: str | None
    process: str | None
    request_id: str | None
    host: str
    port: int
    username: str
    phase: ConnectionPhase
    outcome: Literal["success", "failure"]
    failure_code: str | None
    message: str
    milliseconds: int | None
    bytes: int | None
    run_id: UUID | None
    details: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return everything that is known, flat, as JSON values, for who keeps it elsewhere."""
        known = {name: value for name, value in asdict(self).items() if name != "details"}
        at = self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        ids = {"id": str(self.id), "at": at, "run_id": self.run_id and str(self.run_id)}
        return {**self.details, **known, **ids, "phase": self.phase.value}


def place(column: str, event_id: UUID) -> str:
    """Return where a ciphertext of an event belongs, as its associated data."""
    return encrypted.place(event.c[f"{column}_encrypted"], event_id)


async def add(session: AsyncSession, cipher: Cipher, opened: OpenedEvent) -> None:
    """Store an event, and log it when it is a failure."""
    session.add(
        ConnectionEvent(
            id=opened.id,
            district_id=opened.district,
            at=opened.at,
            action=opened.action,
            user_id=opened.by,
            process=opened.process,
            request_id=opened.request_id,
            host_encrypted=cipher.encrypt(opened.host, place("host", opened.id)),
            port=opened.port,
            username_encrypted=cipher.encrypt(opened.username, place("username", opened.id)),
            phase=opened.phase,
            succeeded=opened.outcome == "success",
            failure_code=opened.failure_code,
            message=opened.message,
            milliseconds=opened.milliseconds,
            bytes=opened.bytes,
            details_encrypted=cipher.encrypt(json.dumps(opened.details), place("details", opened.id)),
            run_id=opened.run_id,
        )
    )
    await session.flush()
    if opened.outcome == "failure":
        log.warning(
            "connection_failed",
            event_id=str(opened.id),
            district=opened.district,
            action=opened.action,
            failure_code=opened.failure_code,
        )


async def page(
    connection: AsyncConnection, cipher: Cipher, district_id: str, request: PageRequest
) -> Page[OpenedEvent]:
    """Return a page of events; raises DecryptionError."""
    found = await fetch_page(connection, LISTING, district_id, request)
    return Page([_open(cipher, row) for row in found.items], found.next_cursor)


async def forget(connection: AsyncConnection, district_id: str, before: datetime) -> int:
    """Delete a district's events from before then; returns how many there were."""
    old = sa.delete(event).where(event.c.district_id == district_id, event.c.at < before)
    return (await connection.execute(old)).rowcount


def _open(cipher: Cipher, row: sa.Row[Any]) -> OpenedEvent:
    details = row.details_encrypted
    return OpenedEvent(
        id=row.id,
        district=row.district_id,
        at=row.at,
        action=row.action or (ConnectionAction.RUN if row.run_id else ConnectionAction.TEST),
        by=row.user_id,
        process=row.process,
        request_id=row.request_id,
        host=cipher.decrypt(row.host_encrypted, place("host", row.id)),
        port=row.port,
        username=cipher.decrypt(row.username_encrypted, place("username", row.id)),
        phase=row.phase,
        outcome="success" if row.succeeded else "failure",
        failure_code=row.failure_code,
        message=row.message,
        milliseconds=row.milliseconds,
        bytes=row.bytes,
        run_id=row.run_id,
        details=json.loads(cipher.decrypt(details, place("details", row.id))) if details else {},
    )
