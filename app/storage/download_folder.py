"""The local folder of fetched licence files: retained ones as a fallback, refused ones for a look (I2).

Each district has a directory, with `quarantine/` in it. Names are made here, never taken from a server.
"""

import os
import re
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from app.failures import FileChangedWhileRead, FileTooLarge, FileUnreadable
from app.storage.part_file import PartFile, Received

_CHUNK = 1 << 20
_DISTRICT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_STORED_AS = re.compile(r"[0-9a-f]{32}")
_OURS = re.compile(r"[0-9a-f]{32}(?:\.part)?")
_QUARANTINE = "quarantine"


class DownloadFolder:
    """Files under `root` (`DATA_DIR/downloads`), readable by this service's user alone."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def new_path(self, district_id: str) -> Path:
        """Return where the next file of the district goes; its name is what `stored_as` is elsewhere."""
        folder = self._folder(district_id)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / uuid.uuid4().hex

    def path(self, district_id: str, stored_as: str, *, quarantined: bool = False) -> Path:
        """Return the path of a stored file; ValueError for a name that was not made here."""
        if not _STORED_AS.fullmatch(stored_as):
            raise ValueError("not the name of a stored file")
        return self._folder(district_id, quarantined=quarantined) / stored_as

    def quarantine(self, district_id: str, stored_as: str) -> None:
        """Move a refused file aside; repeating it is harmless, FileNotFoundError if it is nowhere."""
        aside = self.path(district_id, stored_as, quarantined=True)
        aside.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            self.path(district_id, stored_as).rename(aside)
        except FileNotFoundError:
            if not aside.exists():
                raise

    def remove(self, district_id: str, stored_as: str) -> None:
        """Delete a file, retained or quarantined; one that is gone is fine."""
        for quarantined in (False, True):
            self.path(district_id, stored_as, quarantined=quarantined).unlink(missing_ok=True)

    def adopt(self, district_id: str, source: Path, max_bytes: int) -> Received:
        """Copy a local file in, under the rules of a fetched one; blocks as long as that takes.

        Raises FileUnreadable (missing, not permitted, a symbolic link, not a regular file), FileTooLarge,
        FileChangedWhileRead, and InternalFailure for a full disk.
        """
        with _open_regular(source) as file, PartFile(self.new_path(district_id)) as part:
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

    def remove_strays(self, district_id: str, known: set[str], older_than: timedelta) -> int:
        """Delete parts that were left and files that no row knows, and return how many.

        `known` are the district's `stored_as`; what is younger than `older_than` may belong to a run that
        is in progress. Files that were not made here are left alone.
        """
        limit = time.time() - older_than.total_seconds()
        removed = 0
        for file in self._files(district_id):
            if _OURS.fullmatch(file.name) and file.name not in known:
                with suppress(FileNotFoundError):  # renamed or removed by a run or another sweep meanwhile
                    if file.lstat().st_mtime < limit:
                        file.unlink()
                        removed += 1
        return removed

    def _files(self, district_id: str) -> Iterator[Path]:
        for quarantined in (False, True):
            folder = self._folder(district_id, quarantined=quarantined)
            if folder.is_dir():
                yield from [entry for entry in folder.iterdir() if not entry.is_dir()]

    def _folder(self, district_id: str, *, quarantined: bool = False) -> Path:
        if not _DISTRICT.fullmatch(district_id):
            raise ValueError("not a district's id")
        folder = self._root / district_id
        return folder / _QUARANTINE if quarantined else folder


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
