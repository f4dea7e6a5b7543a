import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.failures import FileChangedWhileRead, InternalFailure, SftpInterrupted, SftpTimeout
from app.storage.sftp import SftpLimits
from tests.support.faulty_proxy import FaultyProxy
from tests.support.openssh import OpenSshServer
from tests.support.sftp import LIMITS, MEGABYTES, NAME, fetch, key_target, names, refused


@pytest.mark.parametrize("change", ["grows", "shrinks", "is replaced", "is touched", "vanishes"])
async def test_file_that_changes_while_it_is_read(
    openssh_server: OpenSshServer, tmp_path: Path, change: str
) -> None:
    directory = openssh_server.new_directory()
    file = directory / NAME
    file.write_bytes(MEGABYTES)
    os.utime(file, (1_000_000_000, 1_000_000_000))

    def spoil() -> None:
        if change == "grows":
            with file.open("ab") as more:
                more.write(b"more")
        elif change == "shrinks":
            os.truncate(file, len(MEGABYTES) - 1)
        elif change == "is replaced":
            (directory / "new").write_bytes(MEGABYTES)
            (directory / "new").rename(file)
        elif change == "is touched":
            file.touch()
        else:
            file.unlink()

    async with FaultyProxy(openssh_server.port) as proxy:
        proxy.stall_after(2_000_000)
        target = key_target(openssh_server, directory=str(directory), port=proxy.port)
        download = asyncio.create_task(refused(FileChangedWhileRead, target, tmp_path / "f"))
        await proxy.reached.wait()
        spoil()
        proxy.resume()
        failure = await download
    assert NAME in failure.message


async def test_line_cut_in_the_file(openssh_server: OpenSshServer, tmp_path: Path) -> None:
    directory = openssh_server.new_directory()
    (directory / NAME).write_bytes(MEGABYTES)
    async with FaultyProxy(openssh_server.port) as proxy:
        proxy.cut_after(2_000_000)
        target = key_target(openssh_server, directory=str(directory), port=proxy.port)
        failure = await refused(SftpInterrupted, target, tmp_path / "f")
    assert "run again" in failure.message


async def test_line_that_stalls_in_the_file(openssh_server: OpenSshServer, tmp_path: Path) -> None:
    directory = openssh_server.new_directory()
    (directory / NAME).write_bytes(MEGABYTES)
    async with FaultyProxy(openssh_server.port) as proxy:
        proxy.stall_after(2_000_000)
        target = key_target(openssh_server, directory=str(directory), port=proxy.port)
        limits = SftpLimits(connect=5, login=5, transfer=0.5, max_bytes=LIMITS.max_bytes)
        failure = await refused(SftpTimeout, target, tmp_path / "f", limits)
    assert "0.5 seconds" in failure.message


async def test_cancelled_download_ends_the_connection_and_leaves_nothing(
    openssh_server: OpenSshServer, tmp_path: Path
) -> None:
    directory = openssh_server.new_directory()
    (directory / NAME).write_bytes(MEGABYTES)
    async with FaultyProxy(openssh_server.port) as proxy:
        proxy.stall_after(2_000_000)
        target = key_target(openssh_server, directory=str(directory), port=proxy.port)
        download = asyncio.create_task(fetch(target, tmp_path / "f"))
        await proxy.reached.wait()
        assert names(tmp_path) == ["f.part"]
        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download
        proxy.resume()
        async with asyncio.timeout(20):
            await proxy.idle()
    assert names(tmp_path) == []


async def test_local_disk_that_refuses(openssh_server: OpenSshServer, tmp_path: Path) -> None:
    directory = openssh_server.new_directory()
    (directory / NAME).write_bytes(MEGABYTES)
    target = key_target(openssh_server, directory=str(directory))
    with file_size_limit(3_000_000):
        failure = await refused(InternalFailure, target, tmp_path / "f")
    assert "disk of this service" in failure.message
    assert failure.diagnosis["bytes_written"] > 0


async def test_local_path_that_is_a_link(openssh_server: OpenSshServer, tmp_path: Path) -> None:
    directory = openssh_server.new_directory()
    (directory / NAME).write_bytes(b"new")
    (tmp_path / "victim").write_bytes(b"old")
    (tmp_path / "f.part").symlink_to(tmp_path / "victim")
    with pytest.raises(InternalFailure):
        await fetch(key_target(openssh_server, directory=str(directory)), tmp_path / "f")
    assert (tmp_path / "victim").read_bytes() == b"old"


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
