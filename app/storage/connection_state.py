"""How a connection stands: which host key it meets, whether it is stopped, whether it waits (I10, B4).

A state is of one version of the connection: what was saved since begins anew.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import ConnectionStanding, Pin
from app.crypto import Cipher
from app.models import ConnectionState, SftpConnection
from app.storage import encrypted, sftp_connection
from app.storage.fingerprints import OfferedKey

state = ConnectionState.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


@dataclass(frozen=True)
class Standing:
    """A state, decrypted; `offered` are the host keys for which the connection was stopped."""

    login_failures: int = 0
    backing_off_until: datetime | None = None
    host_key_in_use: Pin | None = None
    host_key_seen_at: datetime | None = None
    stopped_at: datetime | None = None
    stopped_run_id: UUID | None = None
    offered: list[OfferedKey] = field(default_factory=list)

    @property
    def offered_fingerprints(self) -> set[str]:
        """The fingerprints of those keys."""
        return {key.fingerprint for key in self.offered}

    def at(self, now: datetime) -> ConnectionStanding:
        """Return whether runs of the schedule use the connection at `now`."""
        if self.stopped_at is not None:
            return ConnectionStanding.STOPPED
        if self.backing_off_until is not None and now < self.backing_off_until:
            return ConnectionStanding.BACKING_OFF
        return ConnectionStanding.OK


async def find(session: AsyncSession, cipher: Cipher, row: SftpConnection) -> Standing:
    """Return how this version of the connection stands; raises DecryptionError."""
    query: Any = sa.select(ConnectionState).where(
        state.c.district_id == row.district_id, state.c.connection_version == row.version
    )
    found: ConnectionState | None = (await session.exec(query)).scalar_one_or_none()
    if found is None:
        return Standing()
    return Standing(
        login_failures=found.login_failures,
        backing_off_until=found.backing_off_until,
        host_key_in_use=Pin(found.host_key_in_use) if found.host_key_in_use else None,
        host_key_seen_at=found.host_key_seen_at,
        stopped_at=found.stopped_at,
        stopped_run_id=found.stopped_run_id,
        offered=_open(cipher, found),
    )


async def find_to_change(session: AsyncSession, district_id: str, version: int) -> ConnectionState | None:
    """Return the state of a version of the connection, kept from other writers until the end.

    None when another version was saved meanwhile: what is known of this one does not matter any more.
    """
    row = await sftp_connection.find(session, district_id, to_change=True)
    if row is None or row.version != version:
        return None
    found = await session.get(ConnectionState, district_id)
    if found is not None and found.connection_version != version:
        await session.delete(found)
        await session.flush()
        found = None
    if found is None:
        found = ConnectionState(district_id=district_id, connection_version=version)
        session.add(found)
    return found


def keep_offered(cipher: Cipher, row: ConnectionState, offered: list[dict[str, str]]) -> None:
    """Store the host keys that a server showed in place of the pinned one."""
    row.offered_encrypted = cipher.encrypt(json.dumps(offered), _place(row.district_id))


def _open(cipher: Cipher, row: ConnectionState) -> list[OfferedKey]:
    if row.offered_encrypted is None:
        return []
    keys = json.loads(cipher.decrypt(row.offered_encrypted, _place(row.district_id)))
    return [OfferedKey(**key) for key in keys]


def _place(district_id: str) -> str:
    return encrypted.place(state.c.offered_encrypted, district_id)
