import asyncio
import contextlib
import socket
from collections.abc import Iterator

import asyncssh
import pytest
from pydantic import SecretStr

from app.constants import ConnectionPhase
from app.failures import (
    RunFailure,
    SftpAuthFailed,
    SftpFingerprintMismatch,
    SftpInterrupted,
    SftpTimeout,
    SftpUnreachable,
)
from app.storage.sftp import SftpLimits, SftpTarget, open_sftp
from tests.support.faulty_proxy import FaultyProxy
from tests.support.openssh import KEY_TYPES, OpenSshServer, free_port
from tests.support.processes import until
from tests.support.sftp import LIMITS, key_target, offered_keys, password_target

SHORT = SftpLimits(connect=0.3, login=0.3, transfer=5, max_bytes=1000)


async def failure_of(target: SftpTarget, limits: SftpLimits = LIMITS) -> RunFailure:
    with pytest.raises(RunFailure) as caught:
        async with open_sftp(target, limits):
            pass
    return caught.value


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=5) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue is full, so that connecting to it hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


async def test_password(openssh_server: OpenSshServer, openssh_password: str) -> None:
    async with open_sftp(password_target(openssh_server, openssh_password), LIMITS) as session:
        assert session.phase is ConnectionPhase.LIST


@pytest.mark.parametrize("key_type", KEY_TYPES)
async def test_each_type_of_host_key_can_be_pinned(openssh_server: OpenSshServer, key_type: str) -> None:
    target = key_target(openssh_server, fingerprint=openssh_server.fingerprint(key_type))
    async with open_sftp(target, LIMITS) as session:
        assert session.phase is ConnectionPhase.LIST


async def test_encrypted_key(openssh_server: OpenSshServer) -> None:
    key = asyncssh.import_private_key(openssh_server.private_key)
    encrypted = SecretStr(key.export_private_key(passphrase="opens it", rounds=50).decode())
    async with open_sftp(
        key_target(openssh_server, private_key=encrypted, password=SecretStr("opens it")), LIMITS
    ) as session:
        assert session.phase is ConnectionPhase.LIST
    failure = await failure_of(
        key_target(openssh_server, private_key=encrypted, password=SecretStr("does not"))
    )
    assert isinstance(failure, SftpAuthFailed)
    assert "passphrase does not open" in failure.message


async def test_wrong_fingerprint_sends_no_credential(openssh_server: OpenSshServer) -> None:
    before = len(openssh_server.log())
    failure = await failure_of(key_target(openssh_server, password=None, fingerprint="SHA256:" + "A" * 43))
    until(lambda: openssh_server.log()[before:].count("Received disconnect") == 3, what="three tries")

    assert isinstance(failure, SftpFingerprintMismatch)
    assert "userauth" not in openssh_server.log()[before:]
    assert openssh_server.username not in openssh_server.log()[before:]
    for key_type in KEY_TYPES:
        assert openssh_server.fingerprint(key_type) in failure.message
    assert failure.diagnosis["phase"] == "host_key"
    assert failure.diagnosis["expected_fingerprint"] == "SHA256:" + "A" * 43
    assert failure.diagnosis["offered_fingerprint"] == openssh_server.fingerprint("rsa")
    assert failure.diagnosis["offered_algorithm"] == "ssh-rsa"


async def test_right_fingerprint_does_log_in(openssh_server: OpenSshServer) -> None:
    """Shows that the log above would have told."""
    before = len(openssh_server.log())
    async with open_sftp(key_target(openssh_server), LIMITS):
        pass
    until(lambda: "userauth-request for user" in openssh_server.log()[before:], what="userauth in the log")


async def test_scan_lists_every_host_key_and_logs_nobody_in(openssh_server: OpenSshServer) -> None:
    before = len(openssh_server.log())
    offered = await offered_keys(openssh_server.host, openssh_server.port)
    until(lambda: openssh_server.log()[before:].count("Received disconnect") == 3, what="three tries")

    assert [key.fingerprint for key in offered] == [openssh_server.fingerprint(kind) for kind in KEY_TYPES]
    assert [key.algorithm for key in offered] == ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]
    assert "userauth" not in openssh_server.log()[before:]


async def test_wrong_password(openssh_server: OpenSshServer, openssh_password: str) -> None:
    failure = await failure_of(password_target(openssh_server, openssh_password + "x"))
    assert isinstance(failure, SftpAuthFailed)
    assert "refused the user id or the password" in failure.message
    assert failure.diagnosis["phase"] == "authenticate"
    assert failure.diagnosis["exception"] == "PermissionDenied"


@pytest.mark.usefixtures("openssh_password")
async def test_one_login_tries_the_password_once(openssh_server: OpenSshServer) -> None:
    """Accounts are locked after a few."""
    before = len(openssh_server.log())
    await failure_of(password_target(openssh_server, "wrong"))
    until(lambda: "Connection closed" in openssh_server.log()[before:], what="the end of the connection")
    assert openssh_server.log()[before:].count("method password") == 1


async def test_unknown_user_and_unknown_key(openssh_server: OpenSshServer) -> None:
    failure = await failure_of(key_target(openssh_server, username="nobody-of-this-name"))
    assert isinstance(failure, SftpAuthFailed)
    assert "nobody-of-this-name" not in repr(failure.diagnosis) + failure.message
    assert failure.diagnosis["username"] == "n***"

    stranger = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    failure = await failure_of(key_target(openssh_server, private_key=SecretStr(stranger)))
    assert isinstance(failure, SftpAuthFailed)
    assert "user id or the key" in failure.message


async def test_password_at_a_server_that_takes_none() -> None:
    async with await asyncssh.create_server(
        _KeysOnly, "127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")]
    ) as server:
        port = server.get_port()
        (offered,) = await offered_keys("127.0.0.1", port)
        failure = await failure_of(
            SftpTarget("127.0.0.1", port, "u", SecretStr("pw"), None, offered.fingerprint, "")
        )
    assert isinstance(failure, SftpAuthFailed)
    assert "does not accept a password" in failure.message


async def test_login_that_never_ends() -> None:
    async with await asyncssh.create_server(
        _Slow, "127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")]
    ) as server:
        port = server.get_port()
        (offered,) = await offered_keys("127.0.0.1", port)
        failure = await failure_of(
            SftpTarget("127.0.0.1", port, "u", SecretStr("pw"), None, offered.fingerprint, ""), SHORT
        )
    assert isinstance(failure, SftpTimeout)
    assert failure.diagnosis["phase"] == "authenticate"


async def test_server_with_an_outdated_host_key_only() -> None:
    key = asyncssh.generate_private_key("ssh-dss")
    async with await asyncssh.create_server(
        asyncssh.SSHServer, "127.0.0.1", 0, server_host_keys=[key], signature_algs=["ssh-dss"]
    ) as server:
        failure = await failure_of(
            SftpTarget("127.0.0.1", server.get_port(), "u", SecretStr("pw"), None, "SHA256:x", "")
        )
    assert isinstance(failure, SftpUnreachable)
    assert "outdated" in failure.message
    assert failure.diagnosis["server_host_key_algorithms"] == ["ssh-dss"]


async def test_refused_port(openssh_server: OpenSshServer) -> None:
    failure = await failure_of(key_target(openssh_server, port=free_port()))
    assert isinstance(failure, SftpUnreachable)
    assert failure.diagnosis["phase"] == "connect"
    assert failure.diagnosis["exception"] == "ConnectionRefusedError"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "two..dots", "x" * 70])
async def test_unresolvable_host(openssh_server: OpenSshServer, host: str) -> None:
    failure = await failure_of(key_target(openssh_server, host=host))
    assert isinstance(failure, SftpUnreachable)
    assert "host name" in failure.message
    assert failure.diagnosis["host"] == host


async def test_connect_timeout(openssh_server: OpenSshServer, full_port: int) -> None:
    failure = await failure_of(key_target(openssh_server, port=full_port), SHORT)
    assert isinstance(failure, SftpTimeout)
    assert failure.diagnosis["phase"] == "connect"


async def test_silent_server(openssh_server: OpenSshServer, silent_port: int) -> None:
    failure = await failure_of(key_target(openssh_server, port=silent_port), SHORT)
    assert isinstance(failure, SftpTimeout)
    assert failure.diagnosis["phase"] == "host_key"


@pytest.mark.parametrize("limit", [1, 100])
async def test_line_cut_in_the_handshake(openssh_server: OpenSshServer, limit: int) -> None:
    async with FaultyProxy(openssh_server.port) as proxy:
        proxy.cut_after(limit)
        failure = await failure_of(key_target(openssh_server, port=proxy.port))
    assert isinstance(failure, SftpInterrupted)
    assert failure.diagnosis["phase"] == "host_key"


async def test_something_else_listens() -> None:
    async def web(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n" * 2000)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        failure = await failure_of(SftpTarget("127.0.0.1", port, "u", SecretStr("pw"), None, "SHA256:x", ""))
    assert isinstance(failure, SftpUnreachable | SftpInterrupted)
    assert "port" in failure.message


class _KeysOnly(asyncssh.SSHServer):
    def public_key_auth_supported(self) -> bool:
        return True


class _Slow(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:  # noqa: ARG002 - the library's signature
        await asyncio.sleep(60)
        return False
