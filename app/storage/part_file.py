"""A local file in the making, which is there whole or not at all."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from app.failures import InternalFailure

_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Received:
    """A complete local copy: `sha256` in hexadecimal, `size` in bytes."""

    path: Path
    sha256: str
    size: int


class PartFile:
    """Writes `<path>.part`, hashed and counted on the way; `finish` gives it its name.

    Left without `finish`, by an error or a cancellation, the part is removed. A part that exists, a
    symbolic link included, is refused. The disk's errors leave as InternalFailure that says what to do.
    """

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._disk():
            self._file = os.fdopen(os.open(self._part, flags, 0o600), "wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:
            if error is None:  # what a full disk could not take was reported by the write already
                raise
        finally:
            self._part.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Append `chunk`."""
        with self._disk():
            self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def sync(self) -> None:
        """Bring it to the disk, which can take seconds; safe in a thread."""
        with self._disk():
            self._file.flush()
            os.fsync(self._file.fileno())

    def finish(self) -> Received:
        """Give the file its name and return what it holds; call `sync` before."""
        with self._disk():
            self._file.close()
            self._part.rename(self._path)
        return Received(self._path, self._digest.hexdigest(), self.size)

    def _disk(self) -> AbstractContextManager[None]:
        return disk_failures(self._part, self.size)


@contextmanager
def disk_failures(path: Path, bytes_written: int = 0) -> Iterator[None]:
    """Raise the errors of this host's disk as InternalFailure that says what to do."""
    try:
        yield
    except OSError as error:
        reason = (
            "is full. Make room on it, or move DATA_DIR to a larger one,"
            if error.errno in _FULL
            else f"refused a file ({error.strerror}). Check DATA_DIR and its permissions,"
        )
        raise InternalFailure(
            f"The disk of this service {reason} then run again. Nothing was changed.",
            diagnosis={
                "exception": type(error).__name__,
                "error": error.strerror,
                "path": str(path),
                "bytes_written": bytes_written,
            },
        ) from error
