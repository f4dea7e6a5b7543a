"""Where files lie that outlive a process: retained and refused licence files, and PDF reports.

A store has whole files under keys such as `reports/<run>.pdf`, which are made here and never taken from
anybody. This module has the default one, directories of this host; `object_store.py` has the other.
"""

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from app.storage.part_file import disk_failures


@dataclass(frozen=True)
class RemoteObject:
    """A stored file that is not on this host: `size` in bytes, and its content in order."""

    size: int
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True)
class StoredKey:
    """What a listing tells of a stored file; `modified` is when it was put."""

    key: str
    modified: datetime


class FileStore(Protocol):
    """A store; what keeps it from doing its work leaves it as RunFailure: StorageFailed, or the disk's."""

    async def put(self, source: Path, key: str) -> None:
        """Store a complete file, whole or not at all, in the place of an older one; `source` stays."""

    async def open(self, key: str) -> Path | RemoteObject:
        """Return a stored file, as a path if it lies on this host; FileNotFoundError if there is none."""

    async def remove(self, *keys: str) -> None:
        """Delete files; one that is gone is fine."""

    def address(self, key: str) -> str:
        """Return where a file lies, for a person who looks there without us."""

    def list(self, folder: str) -> AsyncIterator[StoredKey]:
        """Yield every file below a folder, with those of folders in it."""

    async def check(self) -> str:
        """Return what is wrong with the store, an empty text if it does its work."""


class LocalStore:
    """Directories below `root` (`DATA_DIR`), open to the service's user alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, source: Path, key: str) -> None:
        """Give the file a second name, which takes no time; copy it where the file system has no links."""
        await asyncio.to_thread(self._put, source, self._root / key)

    def _put(self, source: Path, target: Path) -> None:
        part = target.with_name(f"{uuid.uuid4().hex}.part")
        with disk_failures(target):
            self._make_directory(target.parent)
            try:
                try:
                    part.hardlink_to(source)
                except OSError:  # another file system, or one without links; a full disk says so again
                    _copy(source, part)
                os.utime(part)  # its age counts from now on, not from when it was received
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)

    async def open(self, key: str) -> Path | RemoteObject:
        """Return the path of a file; a symbolic link is none."""
        path = self._root / key
        if path.is_symlink() or not path.is_file():
            raise FileNotFoundError(key)
        return path

    async def remove(self, *keys: str) -> None:
        """Delete files; one that is gone is fine."""
        for key in keys:
            path = self._root / key
            with disk_failures(path):
                path.unlink(missing_ok=True)

    def address(self, key: str) -> str:
        """Return the path of a file."""
        return str((self._root / key).absolute())

    async def list(self, folder: str) -> AsyncIterator[StoredKey]:
        """Yield every file below a folder."""
        for stored in await asyncio.to_thread(lambda: list(self._list(folder))):
            yield stored

    def _list(self, folder: str) -> Iterator[StoredKey]:
        for directory, _, names in os.walk(self._root / folder):  # follows no link
            for name in names:
                path = Path(directory, name)
                with suppress(FileNotFoundError):  # renamed or removed by a run or another sweep meanwhile
                    modified = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
                    yield StoredKey(path.relative_to(self._root).as_posix(), modified)

    async def check(self) -> str:
        """Tell whether the directory can be written."""
        return "" if os.access(self._root, os.W_OK | os.X_OK) else "the data directory cannot be written"

    def _make_directory(self, directory: Path) -> None:
        """Make a directory and those above it, each with mode 0700."""
        if directory != self._root:
            self._make_directory(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def _copy(source: Path, part: Path) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with source.open("rb") as file, os.fdopen(descriptor, "wb") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(descriptor)
