"""Local files of runs in progress: fetched and not stored yet, or got back from the store.

They lie in `DATA_DIR/downloads/.scratch`, on the disk of the downloads, so that a store of directories need
not copy them. No other host needs them.
"""

import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from app.failures import FileChangedWhileRead, FileTooLarge, FileUnreadable
from app.settings import Settings
from app.storage.part_file import PartFile, Received, disk_failures

_CHUNK = 1 << 20
_LOCK = ".lock"


@contextmanager
def scratch_directory(settings: Settings) -> Iterator[Path]:
    """Yield an empty directory that goes with the body, or, after a kill, when the next one is made.

    A file beside it is locked meanwhile; the system unlocks it when the process ends, however it does.
    """
    root = settings.data_dir / "downloads" / ".scratch"
    with disk_failures(root):
        for directory in (root.parent, root):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_abandoned(root)
        directory, lock = _new(root)
    try:
        yield directory
    finally:
        _remove(directory, lock)


def new_path(scratch: Path) -> Path:
    """Return where the next file goes; its name is what `stored_as` is elsewhere."""
    return scratch / uuid.uuid4().hex


def adopt(source: Path, path: Path, max_bytes: int) -> Received:
    """Copy a local file to `path`, under the rules of a fetched one; blocks as long as that takes.

    Raises FileUnreadable (missing, not permitted, a symbolic link, not a regular file), FileTooLarge,
    FileChangedWhileRead, and InternalFailure for a full disk.
    """
    with _open_regular(source) as file, PartFile(path) as part:
        before = os.fstat(file.fileno())
        if before.st_size > max_bytes:
            raise FileTooLarge(
                f"{source} has {before.st_size:,} bytes, over the limit of {max_bytes:,} "
                "(CERTSYNC_MAX_FILE_BYTES)."
            )
        while part.size <= before.st_size and (chunk := file.read(_CHUNK)):
            part.write(chunk)
        after = os.fstat(file.fileno())
        if not part.size == before.st_size == after.st_size or before.st_mtime_ns != after.st_mtime_ns:
            raise FileChangedWhileRead(f"{source} changed while it was read. Import it when complete.")
        part.sync()
        return part.finish()


def _new(root: Path) -> tuple[Path, int]:
    """Return a directory and the descriptor of its lock, which is there, and locked, before it."""
    while True:
        directory = root / uuid.uuid4().hex
        lock = _lock(directory.with_name(directory.name + _LOCK), os.O_CREAT | os.O_EXCL)
        if lock is not None:
            directory.mkdir(mode=0o700)
            return directory, lock


def _lock(path: Path, flags: int = 0) -> int | None:
    """Return a descriptor that holds the lock of a file; None if another process has it or removed it."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _remove_abandoned(root: Path) -> None:
    for path in root.glob(f"*{_LOCK}"):
        with suppress(OSError):  # its owner, or another process like us, was quicker; or it is another user's
            lock = _lock(path)
            if lock is not None:
                _remove(path.with_suffix(""), lock)


def _remove(directory: Path, lock: int) -> None:
    try:
        with suppress(FileNotFoundError):  # killed before it was made
            shutil.rmtree(directory)
        directory.with_name(directory.name + _LOCK).unlink(missing_ok=True)
    finally:
        os.close(lock)


def _open_regular(source: Path) -> BinaryIO:
    """Open a local file; FileUnreadable for a link, a directory, a pipe (without waiting for its writer)."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "is a symbolic link" if source.is_symlink() else f"cannot be opened: {error.strerror}"
        raise FileUnreadable(f"{source} {reason}. Give the path of the file itself.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileUnreadable(f"{source} is not a regular file. Give the path of a licence file.")
    return os.fdopen(descriptor, "rb")
