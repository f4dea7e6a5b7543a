"""The keys of stored values: which are used, their rotation, and what becomes of values whose key is lost."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import AuditAction, AuditRecord
from app.crypto import Cipher, DecryptionError
from app.database import Database
from app.errors import ConfigurationError, ServiceUnavailableError
from app.models import ConnectionProposal, SftpConnection
from app.reach import everywhere
from app.storage import audit_events, encrypted
from app.storage.audit_events import Change

PATIENCE = 12
"""Tries to write a batch; each waits for the database's lock itself, 5 s on SQLite and 30 on PostgreSQL."""
REMOVED = (SftpConnection.__tablename__, ConnectionProposal.__tablename__)
"""Tables whose rows go as a whole: a part of them is of no use."""
EMPTIED = ("details_encrypted", "offered_encrypted")
"""Columns that may be null, and hold JSON: nobody could read a notice there."""
NOTICE = "[lost with its encryption key]"
"""Stands in events and error logs for a text that nobody can read any more."""

Value = tuple[encrypted.RowId, str]
Result = TypeVar("Result")

log = structlog.get_logger()


class KeyRole(StrEnum):
    """What a key is for this instance."""

    PRIMARY = "encrypts and decrypts"
    OTHER = "decrypts"
    MISSING = "not in the list"


@dataclass(frozen=True)
class KeyUse:
    """A key, and how many stored values are under it."""

    key_id: str
    role: KeyRole
    values: int


@dataclass(frozen=True)
class Rotation:
    """What a rotation did, and how the keys are used after it; `refused` are places that do not decrypt."""

    renewed: int
    refused: Sequence[str]
    uses: Sequence[KeyUse]

    @property
    def is_complete(self) -> bool:
        """Whether every stored value is under the primary key."""
        return not any(use.values for use in self.uses if use.role is not KeyRole.PRIMARY)


@dataclass
class Loss:
    """Values that nobody can read: districts whose connection it takes, and how many texts elsewhere."""

    districts: list[str] = field(default_factory=list)
    texts: int = 0


class EncryptionKeys:
    """Use cases of the keys; they cover all districts, and may run beside everything else, also twice."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    async def check(self) -> None:
        """Raise ConfigurationError when stored values are under keys that this process does not have."""
        with everywhere():
            async with self._database.engine.connect() as connection:
                if not await encrypted.has_unknown(connection, self._cipher.key_ids):
                    return
        missing = [use for use in await self.uses() if use.role is KeyRole.MISSING]
        told = ", ".join(f"{use.key_id} ({use.values:,} values)" for use in missing)
        raise ConfigurationError(
            f"The database has values under encryption keys that CERTSYNC_ENCRYPTION_KEYS lacks: {told}. Add "
            "the keys to the list. If one is lost for good, certsync keys discard KEY_ID removes what nobody "
            "can read any more, and those districts save their connections again."
        )

    async def uses(self) -> list[KeyUse]:
        """Return the keys of the list in its order, then those that are missing from it."""
        with everywhere():
            async with self._database.engine.connect() as connection:
                counts = await encrypted.count(connection)
        primary, *others = self._cipher.key_ids
        missing = sorted(counts.keys() - set(self._cipher.key_ids))
        roles = {primary: KeyRole.PRIMARY, **dict.fromkeys(others, KeyRole.OTHER)}
        roles |= dict.fromkeys(missing, KeyRole.MISSING)
        return [KeyUse(key_id, role, counts.get(key_id, 0)) for key_id, role in roles.items()]

    async def rotate(self) -> Rotation:
        """Encrypt anew, under the first key, what is under the others.

        Each value is exchanged only while it is the one that was read, so that a connection which is saved
        meanwhile stays as saved.
        """
        renewed = 0
        refused: list[str] = []
        for column in encrypted.columns():
            async for values in self._under(self._cipher.key_ids[1:], column):
                fresh: list[tuple[encrypted.RowId, str, str]] = []
                for row_id, old in values:
                    place = encrypted.place(column, row_id)
                    try:
                        plain = self._cipher.decrypt(old, place)
                    except DecryptionError:
                        log.error("stored_value_refused", place=place)  # noqa: TRY400 - the place says it all
                        refused.append(place)
                    else:
                        fresh.append((row_id, old, self._cipher.encrypt(plain, place)))
                if fresh and not renewed:
                    await self._audit(AuditAction.ROTATED, self._cipher.key_ids[0])
                renewed += await self._exchange(column, fresh)
        log.info("keys_rotated", renewed=renewed, refused=len(refused), key_id=self._cipher.key_ids[0])
        return Rotation(renewed, refused, await self.uses())

    async def discard(self, key_id: str, *, confirmed: bool) -> Loss:
        """Remove what is stored under `key_id` and does not decrypt; unless `confirmed`, only tell of it.

        The connection of a district goes as a whole. Events and runs stay, with `NOTICE` in the place of
        the text. What decrypts is left alone. Raises ConfigurationError when no value is under the key.
        """
        if key_id not in {use.key_id for use in await self.uses() if use.values}:
            raise ConfigurationError(
                f"No stored value is under the key {key_id}. certsync keys list shows the ids."
            )
        loss = Loss()
        audited = False
        for column in encrypted.columns():
            async for values in self._under([key_id], column):
                lost = [value for value in values if not self._is_readable(column, value)]
                if confirmed and lost and not audited:
                    await self._audit(AuditAction.DISCARDED, key_id)
                    audited = True
                gone = await self._remove(column, lost) if confirmed else [row_id for row_id, _ in lost]
                if column.table.name == SftpConnection.__tablename__:
                    loss.districts += [str(one) for one in gone if str(one) not in loss.districts]
                else:
                    loss.texts += len(gone)
        if confirmed:
            log.warning(
                "stored_values_discarded", key_id=key_id, texts=loss.texts, districts=len(loss.districts)
            )
        return loss

    async def _audit(self, action: AuditAction, key_id: str) -> None:
        """Record in every district what is about to be done to their values: it takes many transactions."""

        async def write(connection: AsyncConnection) -> None:
            change = Change(action, AuditRecord.ENCRYPTION_KEYS, key_id)
            await audit_events.record_everywhere(connection, change)

        await self._patiently(write)

    async def _under(
        self, key_ids: Collection[str], column: sa.Column[Any]
    ) -> AsyncIterator[Sequence[Value]]:
        last: encrypted.RowId | None = None
        while True:
            with everywhere():
                async with self._database.engine.connect() as connection:
                    found = await encrypted.batch(connection, column, key_ids, last)
            if not found:
                return
            yield found
            last = found[-1][0]

    def _is_readable(self, column: sa.Column[Any], value: Value) -> bool:
        row_id, token = value
        try:
            self._cipher.decrypt(token, encrypted.place(column, row_id))
        except DecryptionError:
            return False
        return True

    async def _exchange(
        self, column: sa.Column[Any], fresh: Sequence[tuple[encrypted.RowId, str, str]]
    ) -> int:
        """Write a batch in one transaction; return how many values were still those that were read."""

        async def write(connection: AsyncConnection) -> int:
            return await encrypted.exchange(connection, column, fresh)

        return await self._patiently(write)

    async def _remove(self, column: sa.Column[Any], lost: Sequence[Value]) -> list[encrypted.RowId]:
        """Remove a batch in one transaction; return the rows that still had what was read."""

        async def write(connection: AsyncConnection) -> list[encrypted.RowId]:
            gone: list[encrypted.RowId] = []
            for row_id, old in lost:
                if column.table.name in REMOVED:
                    removed = await encrypted.remove_row(connection, column, row_id, old)
                else:
                    place = encrypted.place(column, row_id)
                    notice = None if column.name in EMPTIED else self._cipher.encrypt(NOTICE, place)
                    removed = bool(await encrypted.exchange(connection, column, [(row_id, old, notice)]))
                gone += [row_id] if removed else []
            return gone

        return await self._patiently(write)

    async def _patiently(self, write: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Return what `write` did in a transaction, begun again while an import keeps writers out."""
        with everywhere():
            for _ in range(PATIENCE - 1):
                try:
                    async with self._database.write() as session:
                        return await write(await session.connection())
                except ServiceUnavailableError:
                    log.info("keys_wait_for_database")
            async with self._database.write() as session:
                return await write(await session.connection())
