"""Gets the licence file: the newest at the state, else the newest retained one (I1, I2).

No transaction is open while the network is slow.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from app.constants import ConnectionAction, RunTrigger
from app.database import Database
from app.failures import NoFile
from app.models import Run
from app.pipeline.attempts import Attempts
from app.pipeline.connection_trail import Actor
from app.pipeline.layout import MAX_NAME, Layout
from app.pipeline.text_format import visible
from app.settings import Settings
from app.storage import import_files
from app.storage.download_folder import DownloadFolder, FileTampered
from app.storage.scratch import adopt, new_path

log = structlog.get_logger()


@dataclass(frozen=True)
class FetchedFile:
    """A licence file on the local disk; `datestamp` is ISO text without a zone, None for an unnamed one."""

    path: Path
    name: str
    datestamp: str | None
    sha256: str
    size: int
    reused: bool = False

    @property
    def to_keep(self) -> bool:
        """Whether the file may be stored: one without a datestamp has no order, a reused one is stored."""
        return not self.reused and self.datestamp is not None


@dataclass(frozen=True)
class Fetcher:
    """What fetching needs besides the run."""

    database: Database
    settings: Settings
    attempts: Attempts
    downloads: DownloadFolder

    async def from_state(
        self,
        run: Run,
        layout: Layout,
        scratch: Path,
        progress: Callable[[int, int], None],
    ) -> FetchedFile:
        """Fetch the newest recognised file into `scratch`, or fall back on the newest retained one.

        Raises RunFailure: NoFile when there is neither, and whatever ends a connection, or keeps the run
        from making one; that never falls back, since nobody knows what lies there.
        """
        scheduled = run.trigger is RunTrigger.SCHEDULE
        actor = Actor(run.district_id, ConnectionAction.RUN, run.run_by, run.id, scheduled=scheduled)
        loaded = await self.attempts.load(run.district_id)
        self.attempts.check(loaded, actor)
        async with self.attempts.session(loaded, actor) as session:
            files = await session.list_files(layout.datestamp)
            if files:
                newest = files[0]
                received = await session.receive(newest, new_path(scratch), progress)
                return FetchedFile(
                    path=received.path,
                    name=newest.name,
                    datestamp=iso(newest.datestamp),
                    sha256=received.sha256,
                    size=received.size,
                )
        return await self._retained(run.district_id, loaded.target.directory, scratch)

    async def from_disk(self, path: Path, layout: Layout, scratch: Path) -> FetchedFile:
        """Take a copy of a local file; its name may be any, but only a datestamped one is retained."""
        limit = self.settings.max_file_bytes
        received = await asyncio.to_thread(adopt, path, new_path(scratch), limit)
        datestamp = layout.datestamp(path.name)
        return FetchedFile(
            path=received.path,
            # Bytes that are no UTF-8 are half characters in it, which no database takes.
            name=visible(path.name, MAX_NAME)[:MAX_NAME],
            datestamp=iso(datestamp) if datestamp else None,
            sha256=received.sha256,
            size=received.size,
        )

    async def _retained(self, district_id: str, directory: str, scratch: Path) -> FetchedFile:
        async with self.database.engine.connect() as connection:
            retained = await import_files.retained(connection, district_id)
        for kept in retained:
            try:
                path = await self.downloads.get(kept, scratch)
            except FileNotFoundError:
                log.warning("retained_file_gone", file_id=str(kept.id))
            except FileTampered:
                log.warning("retained_file_tampered", file_id=str(kept.id))
            else:
                return FetchedFile(path, kept.name, kept.datestamp, kept.sha256, kept.size, reused=True)
        raise NoFile(
            f"There is no licence file in the directory {directory!r} of the state's server, and none of "
            "an earlier import is retained. Nothing was changed. Check the directory, or ask the state "
            "when the next file is due."
        )


def iso(datestamp: datetime) -> str:
    """Return a datestamp as text whose order is the order of time."""
    return datestamp.isoformat(timespec="seconds")
