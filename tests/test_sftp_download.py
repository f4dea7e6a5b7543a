import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.failures import FileTooLarge, FileUnreadable, SftpDirectoryNotFound
from app.storage import sftp
from app.storage.sftp import Received, open_sftp
from tests.support.openssh import OpenSshServer
from tests.support.sftp import LIMITS, MEGABYTES, NAME, fetch, key_target, mode, names, recognise, refused


async def test_newest_by_datestamp_is_received_whole(openssh_server: OpenSshServer, tmp_path: Path) -> None:
    directory = openssh_server.new_directory()
    (directory / NAME).write_bytes(MEGABYTES)
    for other in ("licences_20260101.txt", "licences_20251231.csv", "licences_xyz.txt", "README"):
        (directory / other).write_bytes(b"x" * 9)
    os.utime(directory / NAME, (1_000_000_000, 1_000_000_000))
    seen: list[tuple[int, int]] = []
    async with open_sftp(key_target(openssh_server, directory=str(directory)), LIMITS) as session:
        files = await session.list_files(recognise)
        received = await session.receive(
            files[0], tmp_path / "local", lambda done, total: seen.append((done, total))
        )

    assert [file.name for file in files] == [NAME, "licences_20260101.txt", "licences_20251231.csv"]
    assert (files[0].size, files[0].modified) == (len(MEGABYTES), 1_000_000_000)
    assert received == Received(tmp_path / "local", hashlib.sha256(MEGABYTES).hexdigest(), len(MEGABYTES))
    assert (tmp_path / "local").read_bytes() == MEGABYTES
    assert mode(received.path) == 0o600
    assert names(tmp_path) == ["local"]
    assert seen[-1] == (len(MEGABYTES), len(MEGABYTES))


async def test_empty_file(openssh_server: OpenSshServer, tmp_path: Path) -> None:
    directory = openssh_server.new_directory()
    (directory / NAME).touch()
    assert (await fetch(key_target(openssh_server, directory=str(directory)), tmp_path / "f")).size == 0


async def test_no_recognisable_file(openssh_server: OpenSshServer) -> None:
    directory = openssh_server.new_directory()
    (directory / "licences_of_nobody.txt").touch()
    async with open_sftp(key_target(openssh_server, directory=str(directory)), LIMITS) as session:
        assert await session.list_files(recognise) == []


async def test_only_the_newest_of_very_many_are_kept(
    openssh_server: OpenSshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = openssh_server.new_directory()
    monkeypatch.setattr(sftp, "_MAX_LISTED", 5)
    for day in range(300):
        (directory / f"licences_{20260101 + day % 28}.{day:03}").touch()
    async with open_sftp(key_target(openssh_server, directory=str(directory)), LIMITS) as session:
        names = [file.name for file in await session.list_files(recognise)]
    assert names == [f"licences_20260128.{day}" for day in (279, 251, 223, 195, 167)]


@pytest.mark.parametrize("missing", ["nowhere", NAME], ids=["missing", "a file"])
async def test_directory_that_is_none(openssh_server: OpenSshServer, missing: str) -> None:
    directory = openssh_server.new_directory()
    (directory / NAME).touch()
    target = key_target(openssh_server, directory=str(directory / missing))
    async with open_sftp(target, LIMITS) as session:
        with pytest.raises(SftpDirectoryNotFound, match="does not exist") as caught:
            await session.list_files(recognise)
    assert caught.value.diagnosis["phase"] == "list"


async def test_directory_without_permission(openssh_server: OpenSshServer) -> None:
    directory = openssh_server.new_directory(mode=0)
    async with open_sftp(key_target(openssh_server, directory=str(directory)), LIMITS) as session:
        with pytest.raises(SftpDirectoryNotFound, match="may not read") as caught:
            await session.list_files(recognise)
    assert caught.value.diagnosis["exception"] == "SFTPPermissionDenied"


async def test_file_without_permission(openssh_server: OpenSshServer, tmp_path: Path) -> None:
    directory = openssh_server.new_directory()
    (directory / NAME).write_bytes(b"secret")
    (directory / NAME).chmod(0)
    failure = await refused(
        FileUnreadable, key_target(openssh_server, directory=str(directory)), tmp_path / "f"
    )
    assert "may not read" in failure.message


@pytest.mark.parametrize("kind", ["link", "dangling link", "directory", "pipe", "socket"])
async def test_newest_name_that_is_no_file_is_refused(
    openssh_server: OpenSshServer, tmp_path: Path, kind: str
) -> None:
    """The older file must not be imported in its stead."""
    directory = openssh_server.new_directory()
    (directory / "licences_20250101.txt").write_bytes(b"older")
    path = directory / NAME
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as listener, pushd(directory):
            listener.bind(NAME)
    failure = await refused(
        FileUnreadable, key_target(openssh_server, directory=str(directory)), tmp_path / "f"
    )
    assert NAME in failure.message
    assert ("link" in failure.message) == ("link" in kind)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"licences_20260102.txt\n", r"licences_20260102.txt\n"),
        (b"licences_20260102.\x1b[2J", r"licences_20260102.\x1b[2J"),
        (b"licences_20260102.\xe9t\xe9", r"licences_20260102.\xe9t\xe9"),
        ("licences_20260102.\u202etxt".encode(), r"licences_20260102.\u202etxt"),
        (b"licences_20260102.\\..\\x", r"licences_20260102.\..\x"),
    ],
    ids=["newline", "escape", "latin-1", "bidi", "backslash"],
)
async def test_hostile_name_is_refused(
    openssh_server: OpenSshServer, tmp_path: Path, name: bytes, shown: str
) -> None:
    directory = openssh_server.files / f"hostile-{name.hex()}"
    directory.mkdir()
    (directory / "licences_20250101.txt").write_bytes(b"older")
    (directory / os.fsdecode(name)).write_bytes(b"x")
    target = key_target(openssh_server, directory=str(directory))
    async with open_sftp(target, LIMITS) as session:
        assert (await session.list_files(recognise))[0].name == shown
    failure = await refused(FileUnreadable, target, tmp_path / "f")
    assert failure.message.isprintable()
    assert "rename" in failure.message


async def test_longest_name_and_accents_are_fine(openssh_server: OpenSshServer, tmp_path: Path) -> None:
    directory = openssh_server.new_directory()
    name = "licences_20260102.é".ljust(254, "x")
    (directory / name).write_bytes(b"long")
    received = await fetch(key_target(openssh_server, directory=str(directory)), tmp_path / "f")
    assert received.size == 4


async def test_file_over_the_limit_is_not_read(openssh_server: OpenSshServer, tmp_path: Path) -> None:
    directory = openssh_server.new_directory()
    with (directory / NAME).open("wb") as file:
        file.truncate(LIMITS.max_bytes + 1)
    failure = await refused(
        FileTooLarge, key_target(openssh_server, directory=str(directory)), tmp_path / "f"
    )
    assert "50,000,001 bytes" in failure.message


@contextmanager
def pushd(directory: Path) -> Iterator[None]:
    """Unix sockets have short paths."""
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
