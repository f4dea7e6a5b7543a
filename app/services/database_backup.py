"""A copy of a running SQLite database that stands for one instant of it."""

import os
import sqlite3
from pathlib import Path

from sqlalchemy.engine import URL

from app.errors import DatabaseCopyError

BUSY_TIMEOUT = 30.0
"""Seconds to wait for a lock; in WAL mode a reader needs none that a writer holds for long."""


def back_up(source: URL, target: Path) -> int:
    """Write the database's last committed state to `target`, which must not exist; return its bytes.

    Nobody is kept from reading or writing meanwhile: it is one read transaction. The file is there when it is
    complete, on the disk, and checked, and only its owner can read it.

    Raises:
        DatabaseCopyError: the copy cannot be written, or SQLite finds it damaged.
    """
    assert source.database
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        raise DatabaseCopyError(f"There is a file {target} already. Give a new name for each backup.")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            _copy(Path(source.database), part)
            _sync(part)
            size = part.stat().st_size
            part.rename(target)
            _sync(target.parent)
        finally:
            part.unlink(missing_ok=True)
    except FileExistsError as error:
        raise DatabaseCopyError(
            f"Another backup is being written to {part}, or one was killed: then delete that file."
        ) from error
    except OSError as error:
        raise DatabaseCopyError(f"The backup {target} cannot be written: {error.strerror}.") from error
    except sqlite3.Error as error:
        raise DatabaseCopyError(f"The backup failed, and was removed: {error}.") from error
    return size


def _copy(source: Path, target: Path) -> None:
    here = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT)
    there = sqlite3.connect(target, timeout=BUSY_TIMEOUT)
    try:
        here.backup(there)  # all pages in one step, so in one read transaction
        there.execute("PRAGMA journal_mode=DELETE")  # a file by itself, without a -wal beside it
        [verdict] = there.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    finally:
        here.close()
        there.close()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
