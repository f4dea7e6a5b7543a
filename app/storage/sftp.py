"""The state's SFTP server: what lies in its directory, and a file of it, whole or not at all (I10, I13)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import asyncssh

from app.constants import ConnectionPhase
from app.failures import (
    FileChangedWhileRead,
    FileTooLarge,
    FileUnreadable,
    RunFailure,
    SftpAuthFailed,
    SftpDirectoryNotFound,
    SftpInterrupted,
    SftpTimeout,
)
from app.storage.fingerprints import OfferedKey, normalise_fingerprint
from app.storage.part_file import PartFile, Received
from app.storage.sftp_stream import read_ahead, write_behind
from app.storage.ssh_algorithms import algorithms
from app.storage.ssh_attempt import Attempt, SftpLimits, SftpTarget, printable
from app.storage.ssh_connection import connect
from app.storage.ssh_failures import FOREIGN, explain, mismatch
from app.storage.ssh_keys import check_private_key, load_private_key

__all__ = [
    "OfferedKey",
    "Received",
    "RemoteFile",
    "SftpLimits",
    "SftpSession",
    "SftpTarget",
    "check_private_key",
    "normalise_fingerprint",
    "open_sftp",
]

T = TypeVar("T")

_MAX_NAME = 255
_MAX_LISTED = 1000


@dataclass(frozen=True)
class RemoteFile:
    """A recognised name in the directory: `size` in bytes, `modified` in seconds since 1970 (UTC)."""

    name: str
    datestamp: datetime
    size: int
    modified: int | None


class SftpSession:
    """One authenticated session; all its calls together have `limits.transfer` seconds."""

    def __init__(
        self,
        attempt: Attempt,
        connection: asyncssh.SSHClientConnection,
        client: asyncssh.SFTPClient,
        limits: SftpLimits,
    ) -> None:
        self._attempt = attempt
        self._connection = connection
        self._client = client
        self._limits = limits
        self._deadline = asyncio.get_running_loop().time() + limits.transfer
        self._directory = attempt.target.directory.encode() or b"."

    @property
    def phase(self) -> ConnectionPhase:
        """How far the attempt came."""
        return self._attempt.phase

    async def list_files(self, recognise: Callable[[str], datetime | None]) -> list[RemoteFile]:
        """Return the entries whose names `recognise` accepts, newest first by (datestamp, name).

        Names are shown with what is not printable escaped, so that such a file is refused by `receive`
        rather than passed over for an older one; the same holds for links and directories. At most the
        newest 1000 are kept. Raises SftpDirectoryNotFound, SftpInterrupted, SftpTimeout.
        """
        return await self._bounded(ConnectionPhase.LIST, self._list(recognise))

    async def receive(
        self, remote: RemoteFile, path: Path, progress: Callable[[int, int], None] | None = None
    ) -> Received:
        """Download `remote` to `path`, which appears only once it is complete and on the disk.

        `progress` is told the bytes received and the size. Raises FileUnreadable for a link, a device or
        a hostile name, FileTooLarge, FileChangedWhileRead, SftpInterrupted, SftpTimeout, and
        InternalFailure when the local disk refuses; nothing is left behind by any of them.
        """
        return await self._bounded(ConnectionPhase.DOWNLOAD, self._receive(remote, path, progress))

    async def _list(self, recognise: Callable[[str], datetime | None]) -> list[RemoteFile]:
        found: list[RemoteFile] = []
        scan = self._client.scandir(self._directory)
        try:
            async with aclosing(cast("AsyncGenerator[asyncssh.SFTPName]", scan)) as entries:
                async for entry in entries:
                    name = printable(_text(entry.filename)[: _MAX_NAME + 1])
                    if datestamp := recognise(name):
                        found.append(RemoteFile(name, datestamp, entry.attrs.size or 0, entry.attrs.mtime))
                    if len(found) > 2 * _MAX_LISTED:
                        found = _newest(found)
        except (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost):
            raise
        except asyncssh.SFTPError as error:
            raise self._attempt.failure(
                SftpDirectoryNotFound,
                "The connection's directory does not exist on the SFTP server, or this user may not read it. "
                "Check its spelling, capital letters included, or ask the state which one the user can read.",
                error,
            ) from None
        return _newest(found)

    async def _receive(
        self, remote: RemoteFile, path: Path, progress: Callable[[int, int], None] | None
    ) -> Received:
        with PartFile(path) as part:
            try:
                await self._copy(remote, part, progress)
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
                raise self._attempt.failure(
                    FileChangedWhileRead,
                    f"{remote.name} was removed or renamed before it was read to its end. "
                    "Nothing was changed; run again.",
                    error,
                ) from None
            except asyncssh.SFTPPermissionDenied as error:
                raise self._attempt.failure(
                    FileUnreadable,
                    f"This user may not read {remote.name}, the newest file on the SFTP server. "
                    "Ask the state to grant it; no older file was imported in its place.",
                    error,
                ) from None
            await asyncio.to_thread(part.sync)
            return part.finish()

    async def _copy(
        self, remote: RemoteFile, part: PartFile, progress: Callable[[int, int], None] | None
    ) -> None:
        """Copy byte for byte, and compare what the server said before and after with what arrived."""
        path = self._path(remote.name)
        before = _regular(remote.name, await self._client.lstat(path))
        size = before.size or 0
        if size > self._limits.max_bytes:
            raise FileTooLarge(
                f"{remote.name} has {size:,} bytes, over the limit of {self._limits.max_bytes:,}. It was not "
                "read. If a file of this size is right, raise CERTSYNC_MAX_FILE_BYTES."
            )

        def note(received: int) -> None:
            self._attempt.received = received
            if progress:
                progress(received, size)

        async with self._client.open(path, "rb", block_size=0) as source:
            opened = await source.stat()  # of what was opened, should a link have taken its place
            blocks = read_ahead(source, size + 1, self._client.limits.max_read_len)
            async with aclosing(blocks):
                await write_behind(blocks, part, note)
        after = await self._client.lstat(path)
        if _changed(before, opened) or _changed(before, after) or part.size > size:
            raise FileChangedWhileRead(
                f"{remote.name} changed while it was read: it is still being written by the state. "
                "Nothing was changed; run again later, or schedule the task for a later hour."
            )
        if part.size < size:
            raise SftpInterrupted(
                f"Only {part.size:,} of the {size:,} bytes of {remote.name} arrived. "
                "Nothing was changed; run again."
            )

    def _path(self, name: str) -> bytes:
        """Return the remote path of a plain name; FileUnreadable for any other."""
        if not name.isprintable() or {"/", "\\"} & set(name) or len(name.encode()) > _MAX_NAME:
            raise FileUnreadable(
                f"The newest file on the SFTP server has a name that is not plain text: {printable(name)!r}. "
                "Ask the state to rename or remove it; no older file was imported in its place."
            )
        return self._directory.rstrip(b"/") + b"/" + name.encode()

    async def _bounded(self, phase: ConnectionPhase, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, let every failure of it leave with a diagnosis, and none take for ever.

        It is a task of its own so that a cancellation or the deadline can end the connection first: the
        library's cleaning up waits for answers, which a line that stalls never gives.
        """
        self._attempt.phase = phase
        task = asyncio.ensure_future(work)
        try:
            async with asyncio.timeout_at(self._deadline):
                return await asyncio.shield(task)
        except RunFailure as failure:
            failure.diagnosis = {**self._attempt.diagnosis(), **failure.diagnosis}
            raise
        except TimeoutError as error:
            raise self._attempt.failure(
                SftpTimeout,
                f"The SFTP server did not deliver within {self._limits.transfer:g} seconds "
                "(CERTSYNC_SFTP_TRANSFER_TIMEOUT). Nothing was changed; run again.",
                error,
            ) from None
        except FOREIGN as error:
            raise explain(self._attempt, self._limits, error) from None
        finally:
            if not task.done():
                self._connection.abort()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def open_sftp(
    target: SftpTarget, limits: SftpLimits, attempt: Attempt | None = None
) -> AsyncIterator[SftpSession]:
    """Connect, check the host key, log in and start SFTP; the connection ends with the block.

    `attempt` is for a caller who looks at what was seen, however the attempt ends. Raises
    SftpFingerprintMismatch, SftpAuthFailed, SftpUnreachable, SftpTimeout or SftpInterrupted, each with a
    diagnosis whose `phase` says how far it came.
    """
    attempt = attempt or Attempt(target, algorithms(limits.legacy))
    try:
        connection = await connect(attempt, limits, await _key(attempt))
    except (*FOREIGN, ValueError) as error:  # ValueError: a host or user that cannot be encoded
        raise explain(attempt, limits, error) from None
    if connection is None:
        raise mismatch(attempt)
    try:
        attempt.phase = ConnectionPhase.LIST
        try:
            async with asyncio.timeout(limits.login):
                client = await connection.start_sftp_client(path_encoding=None)
        except FOREIGN as error:
            raise explain(attempt, limits, error) from None
        yield SftpSession(attempt, connection, client, limits)
    finally:
        connection.abort()
        await connection.wait_closed()


async def _key(attempt: Attempt) -> asyncssh.SSHKey | None:
    """Return the private key of the connection, opened in a thread since that is slow by design."""
    target = attempt.target
    if target.private_key is None:
        return None
    passphrase = target.password.get_secret_value() if target.password else None
    try:
        return await asyncio.to_thread(load_private_key, target.private_key.get_secret_value(), passphrase)
    except ValueError as error:
        raise attempt.failure(
            SftpAuthFailed, f"The connection's private key cannot be used. {error}."
        ) from None


def _newest(files: list[RemoteFile]) -> list[RemoteFile]:
    return sorted(files, key=lambda file: (file.datestamp, file.name), reverse=True)[:_MAX_LISTED]


def _regular(name: str, attrs: asyncssh.SFTPAttrs) -> asyncssh.SFTPAttrs:
    """Return `attrs` if they are a regular file's of a stated size, else raise FileUnreadable."""
    if attrs.type != asyncssh.FILEXFER_TYPE_REGULAR or attrs.size is None:
        kind = "a link" if attrs.type == asyncssh.FILEXFER_TYPE_SYMLINK else "not a regular file"
        raise FileUnreadable(
            f"{name}, the newest name on the SFTP server, is {kind} and was not read. "
            "Ask the state to put the file itself there; no older file was imported in its place."
        )
    return attrs


def _changed(before: asyncssh.SFTPAttrs, after: asyncssh.SFTPAttrs) -> bool:
    return (before.size, before.mtime) != (after.size, after.mtime)


def _text(filename: bytes | str) -> str:
    """Return a remote name as text; a byte that is not UTF-8 shows as its code, escaped."""
    return filename if isinstance(filename, str) else filename.decode(errors="backslashreplace")
