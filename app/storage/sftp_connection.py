"""The stored connection to the state's server; what identifies or opens it is encrypted (I11)."""

from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr
from sqlmodel.ext.asyncio.session import AsyncSession

from app.crypto import Cipher
from app.failures import SftpNotConfigured
from app.models import SftpConnection
from app.storage.sftp import SftpTarget

connection = SftpConnection.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


def place(column: str, district_id: str) -> str:
    """Return where a ciphertext of the connection belongs, as its associated data."""
    return f"sftp_connection/{column}/{district_id}"


async def find(session: AsyncSession, district_id: str, *, to_change: bool = False) -> SftpConnection | None:
    """Return the district's connection, or None; `to_change` keeps other writers out until the end."""
    query: Any = sa.select(SftpConnection).where(connection.c.district_id == district_id)
    if to_change:
        query = query.with_for_update()
    found: SftpConnection | None = (await session.exec(query)).scalar_one_or_none()
    return found


async def load_target(session: AsyncSession, cipher: Cipher, district_id: str) -> SftpTarget:
    """Return where and how to connect, decrypted.

    Raises SftpNotConfigured when nothing was saved, DecryptionError when it cannot be read.
    """
    row = await find(session, district_id)
    if row is None:
        raise SftpNotConfigured(
            "No connection to the state's server is saved. Save host, user, password or key, fingerprint and "
            "directory under the district's SFTP connection."
        )
    return open_row(cipher, row)


def open_row(cipher: Cipher, row: SftpConnection) -> SftpTarget:
    """Return a row decrypted; raises DecryptionError."""

    def plain(column: str) -> str:
        return cipher.decrypt(getattr(row, f"{column}_encrypted"), place(column, row.district_id))

    return SftpTarget(
        host=plain("host"),
        port=row.port,
        username=plain("username"),
        password=SecretStr(plain("password")) if row.password_encrypted else None,
        private_key=SecretStr(plain("private_key")) if row.private_key_encrypted else None,
        fingerprint=plain("fingerprint"),
        directory=row.directory,
    )


def seal(cipher: Cipher, district_id: str, target: SftpTarget) -> dict[str, Any]:
    """Return the columns of `target`, encrypted for their place in the table."""
    plain = {
        "host": target.host,
        "username": target.username,
        "password": target.password.get_secret_value() if target.password else None,
        "private_key": target.private_key.get_secret_value() if target.private_key else None,
        "fingerprint": target.fingerprint,
    }
    sealed = {
        f"{column}_encrypted": None if value is None else cipher.encrypt(value, place(column, district_id))
        for column, value in plain.items()
    }
    return {**sealed, "port": target.port, "directory": target.directory}
