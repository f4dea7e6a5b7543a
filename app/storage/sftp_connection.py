"""The stored connection to the state's server; what identifies or opens it is encrypted (I11)."""

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import SecretStr
from sqlmodel.ext.asyncio.session import AsyncSession

from app.crypto import Cipher
from app.failures import SftpNotConfigured
from app.models import ConnectionProposal, District, SftpConnection
from app.storage import encrypted
from app.storage.ssh_attempt import SftpTarget

connection = SftpConnection.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
district = District.__table__  # type: ignore[attr-defined] # same
proposal = ConnectionProposal.__table__  # type: ignore[attr-defined] # same

SECRETS = ("password", "private_key")


@dataclass(frozen=True)
class Proposed:
    """A connection that one person proposed and another has to confirm."""

    target: SftpTarget
    by: str
    at: datetime
    id: UUID = field(default_factory=uuid4)


def place(column: str, district_id: str) -> str:
    """Return where a ciphertext of the connection belongs, as its associated data."""
    return encrypted.place(connection.c[f"{column}_encrypted"], district_id)


async def find(session: AsyncSession, district_id: str, *, to_change: bool = False) -> SftpConnection | None:
    """Return the district's connection, or None; `to_change` keeps other writers out until the end."""
    query: Any = sa.select(SftpConnection).where(connection.c.district_id == district_id)
    if to_change:
        query = query.with_for_update()
    found: SftpConnection | None = (await session.exec(query)).scalar_one_or_none()
    return found


async def load_target(
    session: AsyncSession, cipher: Cipher, district_id: str
) -> tuple[SftpTarget, SftpConnection]:
    """Return where and how to connect now, decrypted, and its row.

    An announced fingerprint counts from the beginning of its day in the district's time zone. Raises
    SftpNotConfigured when nothing was saved, DecryptionError when it cannot be read.
    """
    row = await find(session, district_id)
    if row is None:
        raise SftpNotConfigured(
            "No connection to the state's server is saved. Save host, user, password or key, fingerprint and "
            "directory under the district's SFTP connection."
        )
    return await in_force(session, district_id, open_row(cipher, row)), row


async def in_force(session: AsyncSession, district_id: str, target: SftpTarget) -> SftpTarget:
    """Return a target without the announced fingerprint if its day has not come yet in the district."""
    if target.announced_from is None:
        return target
    query: Any = sa.select(district.c.timezone).where(district.c.id == district_id)
    zone = ZoneInfo((await session.exec(query)).scalar_one())
    early = datetime.now(UTC).astimezone(zone).date() < target.announced_from
    return replace(target, announced_fingerprint=None) if early else target


def open_row(cipher: Cipher, row: SftpConnection) -> SftpTarget:
    """Return a row decrypted; raises DecryptionError."""

    def plain(column: str) -> str:
        return cipher.decrypt(getattr(row, f"{column}_encrypted"), place(column, row.district_id))

    def secret(column: str) -> SecretStr | None:
        return None if getattr(row, f"{column}_encrypted") is None else SecretStr(plain(column))

    return SftpTarget(
        host=plain("host"),
        port=row.port,
        username=plain("username"),
        password=secret("password"),
        private_key=secret("private_key"),
        fingerprint=plain("fingerprint"),
        directory=row.directory,
        announced_fingerprint=(
            plain("announced_fingerprint") if row.announced_fingerprint_encrypted is not None else None
        ),
        announced_from=row.announced_from,
    )


def seal(cipher: Cipher, district_id: str, target: SftpTarget) -> dict[str, Any]:
    """Return the columns of `target`, encrypted for their place in the table."""
    values = _plain(target)
    clear = {name: getattr(target, name) for name in ("port", "directory", "announced_from")}
    sealed = {
        f"{name}_encrypted": None if value is None else cipher.encrypt(value, place(name, district_id))
        for name, value in values.items()
        if name not in clear
    }
    return sealed | clear


async def find_proposal(session: AsyncSession, cipher: Cipher, row: SftpConnection) -> Proposed | None:
    """Return the change that is proposed for this version of the connection; raises DecryptionError."""
    query: Any = sa.select(ConnectionProposal).where(
        proposal.c.district_id == row.district_id, proposal.c.connection_version == row.version
    )
    found: ConnectionProposal | None = (await session.exec(query)).scalar_one_or_none()
    if found is None:
        return None
    content = json.loads(cipher.decrypt(found.content_encrypted, _proposal_place(row.district_id)))
    day = content.pop("announced_from")
    secrets = {name: content[name] and SecretStr(content[name]) for name in SECRETS}
    target = SftpTarget(**content | secrets, announced_from=day and date.fromisoformat(day))
    return Proposed(target, found.proposed_by, found.proposed_at, found.id)


async def propose(session: AsyncSession, cipher: Cipher, row: SftpConnection, proposed: Proposed) -> None:
    """Store a change for a second person to confirm, in the place of any other."""
    await withdraw_proposal(session, row.district_id)
    content = json.dumps(_plain(proposed.target), default=date.isoformat)
    session.add(
        ConnectionProposal(
            district_id=row.district_id,
            id=proposed.id,
            connection_version=row.version,
            content_encrypted=cipher.encrypt(content, _proposal_place(row.district_id)),
            proposed_by=proposed.by,
            proposed_at=proposed.at,
        )
    )
    await session.flush()


async def withdraw_proposal(session: AsyncSession, district_id: str) -> None:
    """Remove the change that waits for a second person, if there is one."""
    await session.exec(sa.delete(proposal).where(proposal.c.district_id == district_id))


def _plain(target: SftpTarget) -> dict[str, Any]:
    """Return the fields of `target` with its secrets in clear."""
    secrets = {name: getattr(target, name) for name in SECRETS}
    return asdict(target) | {name: value and value.get_secret_value() for name, value in secrets.items()}


def _proposal_place(district_id: str) -> str:
    return encrypted.place(proposal.c.content_encrypted, district_id)
