"""Gets the licence file: the newest at the state, else the newest retained one (I1, I2).

No transaction is open while the network is slow. Every attempt leaves a connection event (I10).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import structlog

from app.constants import ConnectionPhase
from app.crypto import Cipher
from app.database import Database
from app.failures import NoFile, RunFailure
from app.pipeline.layout import Layout
from app.settings import Settings
from app.storage import connection_events, import_files, sftp_connection
from app.storage.download_folder import DownloadFolder, FileTampered
from app.storage.scratch import adopt, new_path
from app.storage.sftp import SftpLimits, SftpSession, SftpTarget, open_sftp

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


def sftp_limits(settings: Settings) -> SftpLimits:
    """Return the limits that the settings give a connection."""
    return SftpLimits(
        connect=settings.sftp_connect_timeout,
        login=settings.sftp_login_timeout,
        transfer=settings.sftp_transfer_timeout,
        max_bytes=settings.max_file_bytes,
    )


@dataclass(frozen=True)
class Fetcher:
    """What fetching needs besides the run."""

    database: Database
    settings: Settings
    cipher: Cipher
    downloads: DownloadFolder

    async def from_state(
        self,
        district_id: str,
        run_id: UUID,
        layout: Layout,
        scratch: Path,
        progress: Callable[[int, int], None],
    ) -> FetchedFile:
        """Fetch the newest recognised file into `scratch`, or fall back on the newest retained one.

        Raises RunFailure: NoFile when there is neither, and whatever ends a connection; that never falls
        back, since nobody knows what lies there.
        """
        async with self.database.read() as session:
            target = await sftp_connection.load_target(session, self.cipher, district_id)
        async with self._recorded(target, district_id, run_id) as session_:
            files = await session_.list_files(layout.datestamp)
            if files:
                newest = files[0]
                received = await session_.receive(newest, new_path(scratch), progress)
                return FetchedFile(
                    path=received.path,
                    name=newest.name,
                    datestamp=iso(newest.datestamp),
                    sha256=received.sha256,
                    size=received.size,
                )
        return await self._retained(district_id, target.directory, scratch)

    async def from_disk(self, path: Path, layout: Layout, scratch: Path) -> FetchedFile:
        """Take a copy of a local file; its name may be any, but only a datestamped one is retained."""
        limit = self.settings.max_file_bytes
        received = await asyncio.to_thread(adopt, path, new_path(scratch), limit)
        datestamp = layout.datestamp(path.name)
        return FetchedFile(
            path=received.path,
            name=path.name,
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

    @asynccontextmanager
    async def _recorded(
        self, target: SftpTarget, district_id: str, run_id: UUID
    ) -> AsyncIterator[SftpSession]:
        """Open a session and store what became of the attempt, whichever way it ends."""
        try:
            async with open_sftp(target, sftp_limits(self.settings)) as session:
                yield session
                phase = session.phase
        except RunFailure as failure:
            await self._record(target, district_id, run_id, failure)
            raise
        await self._record(target, district_id, run_id, phase)

    async def _record(
        self, target: SftpTarget, district_id: str, run_id: UUID, outcome: ConnectionPhase | RunFailure
    ) -> None:
        async with self.database.write() as session:
            await connection_events.record_event(
                session, self.cipher, target, district_id=district_id, run_id=run_id, outcome=outcome
            )


def iso(datestamp: datetime) -> str:
    """Return a datestamp as text whose order is the order of time."""
    return datestamp.isoformat(timespec="seconds")
