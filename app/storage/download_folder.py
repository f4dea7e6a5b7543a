"""The store's folder of fetched licence files: retained ones as a fallback, refused ones for a look (I2).

Each district has a folder, with `quarantine/` in it. Names are made here, never taken from a server.
"""

import asyncio
import hashlib
import re
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import structlog

from app.constants import FileState
from app.failures import RunFailure
from app.models import ImportFile
from app.models.base import utc_now
from app.storage.file_store import FileStore
from app.storage.part_file import PartFile
from app.storage.scratch import new_path

_DISTRICT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_STORED_AS = re.compile(r"[0-9a-f]{32}")
_OURS = re.compile(r"[0-9a-f]{32}(?:\.part)?")
_FOLDERS = {FileState.RETAINED: "", FileState.QUARANTINED: "quarantine/"}

log = structlog.get_logger()


class FileTampered(Exception):  # noqa: N818 - named like the failures of a run in app.failures
    """What lies in the store is not what was put there."""


class DownloadFolder:
    """Files under `downloads/` of a store."""

    def __init__(self, store: FileStore) -> None:
        self._store = store

    async def put(self, district_id: str, path: Path, state: FileState) -> None:
        """Store a file of the scratch directory under its name there. Raises StorageFailed."""
        await self._store.put(path, key(district_id, path.name, state))

    async def get(self, file: ImportFile, scratch: Path) -> Path:
        """Return where a stored file lies on this host, fetched into `scratch` if it has to be.

        Raises FileNotFoundError, FileTampered, and StorageFailed.
        """
        found = await self._store.open(key(file.district_id, file.stored_as, file.state))
        if isinstance(found, Path):
            path, sha256 = found, await asyncio.to_thread(_sha256, found)
        elif found.size != file.size:
            raise FileTampered
        else:
            with PartFile(new_path(scratch)) as part:
                async for chunk in found.chunks:
                    part.write(chunk)
                await asyncio.to_thread(part.sync)
                received = part.finish()
            path, sha256 = received.path, received.sha256
        if sha256 != file.sha256:
            raise FileTampered
        return path

    async def remove(self, district_id: str, stored_as: str, *states: FileState) -> None:
        """Delete a file that no row knows, by default whatever its state is; one that is gone is fine.

        What cannot be deleted now is a stray from here on.
        """
        keys = [key(district_id, stored_as, state) for state in states or FileState]
        try:
            await self._store.remove(*keys)
        except RunFailure as failure:
            log.warning("stored_file_not_removed", reason=failure.diagnosis.get("error"))

    async def remove_strays(
        self, district_id: str, known: Collection[ImportFile], older_than: timedelta
    ) -> int:
        """Delete parts that were left and files that no row knows, and return how many.

        `known` are all rows of the district; what is younger than `older_than` may belong to a run that is
        in progress. Files that were not made here are left alone.
        """
        limit = utc_now() - older_than
        rows = {key(district_id, file.stored_as, file.state) for file in known}
        strays = [
            stored.key
            async for stored in self._store.list(_folder(district_id))
            if stored.modified < limit
            and stored.key not in rows
            and _OURS.fullmatch(stored.key.rpartition("/")[2])
        ]
        await self._store.remove(*strays)
        return len(strays)


def key(district_id: str, stored_as: str, state: FileState) -> str:
    """Return the key of a stored file; ValueError for a name that was not made here."""
    if not _STORED_AS.fullmatch(stored_as):
        raise ValueError("not the name of a stored file")
    return f"{_folder(district_id)}/{_FOLDERS[state]}{stored_as}"


def _folder(district_id: str) -> str:
    if not _DISTRICT.fullmatch(district_id):
        raise ValueError("not a district's id")
    return f"downloads/{district_id}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
