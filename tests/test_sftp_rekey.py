"""Long transfers exchange keys again: that is no login, and another host key then ends it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from app.constants import ConnectionPhase
from app.failures import SftpFingerprintMismatch
from app.storage.sftp import open_sftp
from app.storage.ssh_algorithms import algorithms
from app.storage.ssh_attempt import Attempt
from app.storage.ssh_connection import _Client
from app.storage.ssh_failures import explain
from tests.support.openssh import OpenSshServer
from tests.support.sftp import LIMITS, MEGABYTES, NAME, key_target, recognise


@pytest.fixture(scope="module")
def rekeying() -> Iterator[OpenSshServer]:
    """A server that exchanges keys again after each MiB."""
    server = OpenSshServer("RekeyLimit 1M")
    yield server
    server.stop()


async def test_a_transfer_with_many_key_exchanges(rekeying: OpenSshServer, tmp_path: Path) -> None:
    path = rekeying.new_directory() / NAME
    path.write_bytes(MEGABYTES)
    path.chmod(0o644)
    target = key_target(rekeying, directory=str(path.parent))
    attempt = Attempt(target, algorithms())
    async with open_sftp(target, LIMITS, attempt) as session:
        [newest] = await session.list_files(recognise)
        received = await session.receive(newest, tmp_path / "file", lambda _done, _size: None)
    assert received.size == len(MEGABYTES)
    assert attempt.phase is ConnectionPhase.DOWNLOAD
    assert len(attempt.offered) == 1
    assert not attempt.changed


async def test_another_host_key_in_the_midst_is_a_changed_one(rekeying: OpenSshServer) -> None:
    attempt = Attempt(key_target(rekeying), algorithms())
    client = _Client(attempt, None)
    offered = await asyncssh.get_server_host_key(
        rekeying.host, rekeying.port, server_host_key_algs=["ssh-ed25519"], config=None
    )
    assert offered is not None
    attempt.phase = ConnectionPhase.HOST_KEY
    assert client.validate_host_public_key("", "", 22, offered)
    attempt.phase = ConnectionPhase.DOWNLOAD
    assert client.validate_host_public_key("", "", 22, offered)
    assert attempt.phase is ConnectionPhase.DOWNLOAD
    another = await asyncio.to_thread(asyncssh.generate_private_key, "ssh-ed25519")
    assert not client.validate_host_public_key("", "", 22, another)
    failure = explain(attempt, LIMITS, asyncssh.ConnectionLost("closed"))
    assert isinstance(failure, SftpFingerprintMismatch)
    assert another.get_fingerprint("sha256") in failure.message
