"""A stand-in for the state's SFTP server, on the loopback interface and for the demo only."""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class DemoSftpServer:
    """Where the server listens, and the fingerprint to pin (`SHA256:…`)."""

    host: str
    port: int
    fingerprint: str


@asynccontextmanager
async def demo_sftp_server(root: Path, username: str, password: str) -> AsyncIterator[DemoSftpServer]:
    """Serve `root` read only, under a free port, to one user by password; the host key lives as long.

    Raises OSError when the loopback interface cannot be listened on.
    """
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    acceptor = await asyncssh.listen(
        LOOPBACK,
        0,
        config=None,
        server_host_keys=[host_key],
        server_factory=lambda: _OneUser(username, password),
        sftp_factory=lambda channel: _ReadOnly(channel, chroot=str(root.resolve()).encode()),
        sftp_version=3,
        password_auth=True,
        public_key_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        allow_pty=False,
        agent_forwarding=False,
        x11_forwarding=False,
    )
    try:
        yield DemoSftpServer(LOOPBACK, acceptor.get_port(), host_key.get_fingerprint("sha256"))
    finally:
        acceptor.close()
        await acceptor.wait_closed()


class _OneUser(asyncssh.SSHServer):
    """Knows one user and one password."""

    def __init__(self, username: str, password: str) -> None:
        self._expected = f"{username}\0{password}".encode()

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return hmac.compare_digest(f"{username}\0{password}".encode(), self._expected)


def _refuse(*_request: Any, **_named: Any) -> Any:
    raise asyncssh.SFTPPermissionDenied("this server is read only")


class _ReadOnly(asyncssh.SFTPServer):
    """Serves files and refuses whatever would change one; version 3 of SFTP has no other calls."""

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if pflags & ~asyncssh.FXF_READ:
            _refuse()
        return super().open(path, pflags, attrs)

    setstat = lsetstat = fsetstat = _refuse
    remove = mkdir = rmdir = _refuse
    rename = posix_rename = link = symlink = _refuse
