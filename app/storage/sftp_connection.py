"""The stored connection to the state's server; what identifies or opens it is encrypted (I11)."""

from pydantic import SecretStr
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.crypto import Cipher
from app.errors import SftpNotConfigured
from app.models import SftpConnection
from app.storage.sftp import SftpTarget


def place(column: str, district_id: str) -> str:
    """Return where a ciphertext of the connection belongs, as its associated data."""
    return f"sftp_connection/{column}/{district_id}"


async def find(session: AsyncSession, district_id: str) -> SftpConnection | None:
    """Return the district's connection, or None."""
    query = select(SftpConnection).where(SftpConnection.district_id == district_id)
    return (await session.exec(query)).one_or_none()


async def load_target(session: AsyncSession, cipher: Cipher, district_id: str) -> SftpTarget:
    """Return where and how to connect, decrypted; raises SftpNotConfigured when nothing was saved."""
    row = await find(session, district_id)
    if row is None:
        raise SftpNotConfigured(
            "No connection to the state's server is saved. Save host, user, password or key, fingerprint and "
            "directory under the district's SFTP connection."
        )

    def plain(column: str) -> str:
        return cipher.decrypt(getattr(row, f"{column}_encrypted"), place(column, district_id))

    return SftpTarget(
        host=plain("host"),
        port=row.port,
        username=plain("username"),
        password=SecretStr(plain("password")) if row.password_encrypted else None,
        private_key=SecretStr(plain("private_key")) if row.private_key_encrypted else None,
        fingerprint=plain("fingerprint"),
        directory=row.directory,
    )
