"""The demo's SFTP server: the right key and password get in, and nobody can change anything."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from app.demo.sftp_server import DemoSftpServer, demo_sftp_server

USER, PASSWORD = "district", "maple-syrup"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DemoSftpServer]:
    (tmp_path / "served" / "out").mkdir(parents=True)
    (tmp_path / "served" / "out" / "file.csv").write_text("a,b\n")
    (tmp_path / "secret").write_text("not for the client")
    async with demo_sftp_server(tmp_path / "served", USER, PASSWORD) as running:
        yield running


async def connect(
    server: DemoSftpServer, password: str = PASSWORD, username: str = USER, auth: str = "password"
) -> asyncssh.SSHClientConnection:
    key = await asyncssh.get_server_host_key(server.host, server.port, config=None)
    assert key is not None
    assert key.get_fingerprint("sha256") == server.fingerprint
    return await asyncssh.connect(
        server.host,
        server.port,
        config=None,
        known_hosts=([key], [], []),
        client_keys=None,
        agent_path=None,
        username=username,
        password=password,
        preferred_auth=auth,
    )


async def test_serves_its_root_to_the_user(server: DemoSftpServer) -> None:
    async with await connect(server) as connection, connection.start_sftp_client() as sftp:
        assert "file.csv" in await sftp.listdir("/out")
        async with sftp.open("/out/file.csv") as file:
            assert await file.read() == "a,b\n"


async def test_is_bound_to_the_loopback_interface(server: DemoSftpServer) -> None:
    assert server.host == "127.0.0.1"
    assert server.port > 0


async def test_the_fingerprint_is_a_new_one_each_time(server: DemoSftpServer, tmp_path: Path) -> None:
    assert server.fingerprint.startswith("SHA256:")
    async with demo_sftp_server(tmp_path, USER, PASSWORD) as another:
        assert another.fingerprint != server.fingerprint


@pytest.mark.parametrize(
    ("username", "password", "auth"),
    [
        (USER, "wrong", "password"),
        ("somebody", PASSWORD, "password"),
        (USER, "", "password"),
        (USER, PASSWORD, "keyboard-interactive"),
        (USER, PASSWORD, "publickey"),
        (USER, PASSWORD, "none"),
    ],
)
async def test_refuses_other_credentials_and_methods(
    server: DemoSftpServer, username: str, password: str, auth: str
) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        await connect(server, password, username, auth)


async def test_the_root_cannot_be_left(server: DemoSftpServer) -> None:
    async with await connect(server) as connection, connection.start_sftp_client() as sftp:
        assert set(await sftp.listdir("/..")) == {".", "..", "out"}
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.stat("/../secret")


CHANGES: dict[str, Callable[[asyncssh.SFTPClient], Awaitable[object]]] = {
    "write": lambda sftp: sftp.open("/out/new.csv", "wb"),
    "overwrite": lambda sftp: sftp.open("/out/file.csv", "r+b"),
    "append": lambda sftp: sftp.open("/out/file.csv", "ab"),
    "create": lambda sftp: sftp.open("/out/new.csv", "xb"),
    "remove": lambda sftp: sftp.remove("/out/file.csv"),
    "rename": lambda sftp: sftp.rename("/out/file.csv", "/out/other.csv"),
    "posix_rename": lambda sftp: sftp.posix_rename("/out/file.csv", "/out/other.csv"),
    "mkdir": lambda sftp: sftp.mkdir("/new"),
    "rmdir": lambda sftp: sftp.rmdir("/out"),
    "truncate": lambda sftp: sftp.truncate("/out/file.csv", 0),
    "chmod": lambda sftp: sftp.chmod("/out/file.csv", 0o777),
    "symlink": lambda sftp: sftp.symlink("/out/file.csv", "/out/link"),
    "link": lambda sftp: sftp.link("/out/file.csv", "/out/link"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_nothing_can_be_changed(server: DemoSftpServer, tmp_path: Path, change: str) -> None:
    async with await connect(server) as connection, connection.start_sftp_client() as sftp:
        with pytest.raises(asyncssh.SFTPPermissionDenied, match="read only"):
            await CHANGES[change](sftp)
    assert [(path.name, path.read_text()) for path in (tmp_path / "served" / "out").iterdir()] == [
        ("file.csv", "a,b\n")
    ]


async def test_there_is_no_shell(server: DemoSftpServer) -> None:
    async with await connect(server) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.run("id")
