"""The connection as people see it: without its secrets, with how it stands."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import ConnectionStanding, Pin
from app.crypto import Cipher
from app.models import SftpConnection
from app.models.base import utc_now
from app.storage import connection_state, sftp_connection
from app.storage.connection_state import Standing
from app.storage.fingerprints import OfferedKey
from app.storage.sftp_connection import Proposed


@dataclass(frozen=True)
class ShownHostKeyChange:
    """For what the connection is stopped: `run_id` is null when a test by hand found it."""

    at: datetime
    run_id: UUID | None
    offered: list[OfferedKey]


@dataclass(frozen=True)
class ShownProposal:
    """A change of a pin that waits for a second person."""

    id: UUID
    proposed_by: str
    proposed_at: datetime
    host: str
    port: int
    username: str
    fingerprint: str
    announced_fingerprint: str | None
    announced_from: date | None
    directory: str


@dataclass(frozen=True)
class ShownConnection:
    """A connection without its secrets."""

    host: str
    port: int
    username: str
    has_password: bool
    has_private_key: bool
    fingerprint: str
    fingerprint_since: datetime | None
    announced_fingerprint: str | None
    announced_from: date | None
    announced_since: datetime | None
    host_key_in_use: Pin | None
    host_key_seen_at: datetime | None
    directory: str
    state: ConnectionStanding
    until: datetime | None
    consecutive_failures: int
    host_key_change: ShownHostKeyChange | None
    proposal: ShownProposal | None
    version: int


async def shown(session: AsyncSession, cipher: Cipher, row: SftpConnection) -> ShownConnection:
    """Return the connection for people; raises DecryptionError."""
    target = sftp_connection.open_row(cipher, row)
    standing = await connection_state.find(session, cipher, row)
    proposed = await sftp_connection.find_proposal(session, cipher, row)
    state = standing.at(utc_now())
    return ShownConnection(
        host=target.host,
        port=target.port,
        username=target.username,
        has_password=target.password is not None,
        has_private_key=target.private_key is not None,
        fingerprint=target.fingerprint,
        fingerprint_since=row.fingerprint_since,
        announced_fingerprint=target.announced_fingerprint,
        announced_from=target.announced_from,
        announced_since=row.announced_since,
        host_key_in_use=standing.host_key_in_use,
        host_key_seen_at=standing.host_key_seen_at,
        directory=target.directory,
        state=state,
        until=standing.backing_off_until if state is ConnectionStanding.BACKING_OFF else None,
        consecutive_failures=standing.login_failures,
        host_key_change=_change(standing),
        proposal=_proposal(proposed) if proposed else None,
        version=row.version,
    )


def _change(standing: Standing) -> ShownHostKeyChange | None:
    if standing.stopped_at is None:
        return None
    return ShownHostKeyChange(standing.stopped_at, standing.stopped_run_id, standing.offered)


def _proposal(proposed: Proposed) -> ShownProposal:
    target = proposed.target
    return ShownProposal(
        id=proposed.id,
        proposed_by=proposed.by,
        proposed_at=proposed.at,
        host=target.host,
        port=target.port,
        username=target.username,
        fingerprint=target.fingerprint,
        announced_fingerprint=target.announced_fingerprint,
        announced_from=target.announced_from,
        directory=target.directory,
    )
