"""An SFTP server that can be made to lie, which OpenSSH cannot."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
from pydantic import SecretStr

from app.storage.sftp import SftpTarget
from tests.support.sftp import offered_keys

PASSWORD = "s3cret-of-the-district"
USERNAME = "vt-district-42"


class Server(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USERNAME, PASSWORD)


class Files(asyncssh.SFTPServer):
    """Serves one directory, and says of every size what `lie` makes of it."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], root: Path, lie: Callable[[int], int]) -> None:
        super().__init__(chan, chroot=os.fsencode(root))
        self._lie = lie

    def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:
        return self._lied(asyncssh.SFTPAttrs.from_local(super().lstat(path)))  # type: ignore[arg-type] # its typing is wider

    def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        return self._lied(asyncssh.SFTPAttrs.from_local(super().fstat(file_obj)))  # type: ignore[arg-type] # its typing is wider

    def _lied(self, attrs: asyncssh.SFTPAttrs) -> asyncssh.SFTPAttrs:
        attrs.size = self._lie(attrs.size or 0)
        return attrs


@asynccontextmanager
async def serving(
    root: Path, lie: Callable[[int], int] = lambda size: size, files: type[Files] = Files, **options: Any
) -> AsyncIterator[SftpTarget]:
    async with await asyncssh.create_server(
        Server,
        "127.0.0.1",
        0,
        **{
            "server_host_keys": [asyncssh.generate_private_key("ssh-ed25519")],
            "sftp_factory": lambda chan: files(chan, root, lie),
        }
        | options,
    ) as server:
        (offered,) = await offered_keys("127.0.0.1", server.get_port())
        yield SftpTarget(
            "127.0.0.1", server.get_port(), USERNAME, SecretStr(PASSWORD), None, offered.fingerprint, "/"
        )
