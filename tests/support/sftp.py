"""Connections to the tests' servers, and the names that the tests recognise."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.failures import RunFailure
from app.storage.fingerprints import OfferedKey
from app.storage.sftp import Received, SftpLimits, SftpTarget, open_sftp
from app.storage.ssh_scan import asking, scan_host_keys
from tests.support.openssh import OpenSshServer

NAME = "licences_20260102.txt"
MEGABYTES = os.urandom(1 << 20) * 12
LIMITS = SftpLimits(connect=5, login=10, transfer=30, max_bytes=50_000_000)


def key_target(server: OpenSshServer, **changes: Any) -> SftpTarget:
    """The connection that works, by key, but for `changes`."""
    values: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "username": server.username,
        "password": None,
        "private_key": SecretStr(server.private_key),
        "fingerprint": server.fingerprint(),
        "directory": server.directory,
    }
    return SftpTarget(**values | changes)


def password_target(server: OpenSshServer, password: str, **changes: Any) -> SftpTarget:
    """The connection that works, by password, but for `changes`."""
    return key_target(server, private_key=None, password=SecretStr(password), **changes)


async def offered_keys(host: str, port: int) -> list[OfferedKey]:
    """The host keys that a server shows."""
    return await scan_host_keys(asking(host, port, LIMITS), LIMITS)


def recognise(name: str) -> datetime | None:
    """Accept `licences_YYYYMMDD` with any extension."""
    found = re.fullmatch(r"licences_(\d{8})(\..*)?", name, re.DOTALL)
    return datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC) if found else None


async def fetch(
    target: SftpTarget,
    path: Path,
    limits: SftpLimits = LIMITS,
    progress: Callable[[int, int], None] | None = None,
) -> Received:
    """Receive the newest file of the directory."""
    async with open_sftp(target, limits) as session:
        newest, *_ = await session.list_files(recognise)
        return await session.receive(newest, path, progress)


async def refused(
    kind: type[RunFailure], target: SftpTarget, path: Path, limits: SftpLimits = LIMITS
) -> RunFailure:
    """The failure of kind `kind` that receiving it ends in; nothing may be left at `path`."""
    with pytest.raises(kind) as caught:
        await fetch(target, path, limits)
    assert names(path.parent) == []
    assert caught.value.diagnosis["phase"] == "download"
    assert caught.value.diagnosis["host"] == target.host
    return caught.value


def names(directory: Path) -> list[str]:
    """What lies in a local directory."""
    return sorted(path.name for path in directory.iterdir())


def mode(path: Path) -> int:
    """The permissions of a local file."""
    return path.stat().st_mode & 0o777
