"""What OpenSSH cannot be made to do: servers that lie."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from pydantic import SecretStr

from app.failures import (
    FileChangedWhileRead,
    FileUnreadable,
    RunFailure,
    SftpAuthFailed,
    SftpInterrupted,
    SftpUnreachable,
)
from app.storage.sftp import open_sftp
from tests.support.lying_sftp import PASSWORD, USERNAME, Files, serving
from tests.support.sftp import LIMITS, MEGABYTES, NAME, fetch, recognise, refused

LIE = 3_000_000


@pytest.fixture
def served(tmp_path: Path) -> Path:
    path = tmp_path / "served"
    path.mkdir()
    (path / NAME).write_bytes(MEGABYTES)
    return path


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local"
    path.mkdir()
    return path / "f"


async def test_honest_server(served: Path, local: Path) -> None:
    """Shows that what follows fails for the lie."""
    async with serving(served) as target:
        assert (await fetch(target, local)).size == len(MEGABYTES)


async def test_more_bytes_than_stated_are_not_taken(served: Path, local: Path) -> None:
    most = 0

    def note(done: int, _: int) -> None:
        nonlocal most
        most = done

    async with serving(served, lambda size: size and LIE) as target:
        await refused(FileChangedWhileRead, target, local)
        with pytest.raises(FileChangedWhileRead):
            await fetch(target, local, progress=note)
    assert LIE < most <= LIE + (1 << 20)


async def test_fewer_bytes_than_stated(served: Path, local: Path) -> None:
    async with serving(served, lambda size: size + 1) as target:
        failure = await refused(SftpInterrupted, target, local)
    assert f"{len(MEGABYTES):,} of the {len(MEGABYTES) + 1:,} bytes" in failure.message


async def test_other_file_behind_the_name_once_it_is_opened(served: Path, local: Path) -> None:
    """As when a link takes the file's place after it was looked at, and is gone before the second look."""

    class Swapped(Files):
        def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
            attrs = super().fstat(file_obj)
            attrs.mtime = 1
            return attrs

    async with serving(served, files=Swapped) as target:
        await refused(FileChangedWhileRead, target, local)


NO_NAMES = {
    "way out": NAME + "/../../etc/passwd",
    "over 255": NAME + "x" * 300,
    "4 KB": NAME + "x" * 4096,
    "NUL": NAME + "\0",
    "NUL before an extension": NAME + "\0.csv",
    "directory": NAME + "/",
    "C1": NAME + "\x9b2J",
}


@pytest.mark.parametrize("name", NO_NAMES.values(), ids=NO_NAMES)
async def test_names_that_no_directory_has(served: Path, local: Path, name: str) -> None:
    class Liar(Files):
        async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
            async for entry in super().scandir(path):
                yield asyncssh.SFTPName(
                    name.encode() if entry.filename == NAME.encode() else b".", attrs=entry.attrs
                )

    async with serving(served, files=Liar) as target:
        failure = await refused(FileUnreadable, target, local)
    assert "not plain text" in failure.message or "name" in failure.message
    assert failure.message.isprintable()
    assert sorted(local.parent.iterdir()) == []


async def test_server_without_sftp(served: Path) -> None:
    async with serving(served, sftp_factory=None) as target:
        with pytest.raises(SftpUnreachable, match="no file transfer") as caught:
            async with open_sftp(target, LIMITS):
                pass
    assert caught.value.diagnosis["phase"] == "list"


async def test_server_that_echoes_the_password_in_its_errors(served: Path) -> None:
    class Gossip(Files):
        async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:  # noqa: ARG002 - the library's signature
            raise asyncssh.SFTPFailure(f"{USERNAME} {PASSWORD}\x1b[2J" + "x" * 5000)
            yield

    async with serving(served, files=Gossip) as target, open_sftp(target, LIMITS) as session:
        with pytest.raises(RunFailure) as caught:
            await session.list_files(recognise)
    assert_nothing_told(caught.value)
    assert caught.value.diagnosis["error"].startswith(r"v*** ***\x1b[2J")
    assert len(caught.value.diagnosis["error"]) == 500


async def test_refused_login_tells_no_secret(served: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    async with serving(served) as target:
        for wrong in (
            replace(target, password=SecretStr(PASSWORD + "x")),
            replace(target, password=None, private_key=SecretStr(key)),
        ):
            with pytest.raises(SftpAuthFailed) as caught:
                async with open_sftp(wrong, LIMITS):
                    pass
            assert_nothing_told(caught.value)
            assert PASSWORD not in repr(wrong)
            assert key not in repr(wrong)
            assert USERNAME not in repr(wrong)
    assert PASSWORD not in caplog.text
    assert USERNAME not in caplog.text


def assert_nothing_told(failure: RunFailure) -> None:
    told = f"{failure!r} {failure} {failure.message} {failure.diagnosis}"
    assert PASSWORD not in told
    assert USERNAME not in told
    assert "PRIVATE KEY" not in told
    assert failure.__suppress_context__  # a traceback would show the library's own text
