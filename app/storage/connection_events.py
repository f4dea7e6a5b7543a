"""Attempts to use the state's server: security events, with host and user encrypted (I10, I11)."""

from uuid import UUID, uuid4

from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import ConnectionPhase
from app.crypto import Cipher
from app.errors import RunFailure
from app.models import ConnectionEvent
from app.storage.sftp import SftpTarget


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
    failed = isinstance(outcome, RunFailure)
    phase = outcome.diagnosis.get("phase", ConnectionPhase.CONNECT) if isinstance(outcome, RunFailure) else outcome
    session.add(
        ConnectionEvent(
            id=event_id,
            district_id=district_id,
            host_encrypted=cipher.encrypt(target.host, place("host", event_id)),
            port=target.port,
            username_encrypted=cipher.encrypt(target.username, place("username", event_id)),
            phase=ConnectionPhase(phase),
            succeeded=not failed,
            failure_code=outcome.code if isinstance(outcome, RunFailure) else None,
            message=outcome.message if isinstance(outcome, RunFailure) else "",
            run_id=run_id,
        )
    )
    await session.flush()
