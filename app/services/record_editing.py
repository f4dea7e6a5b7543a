"""The door through which people write certifications and endorsements, shut while an import replaces them.

Redis says early that it is shut, the run's row says so when Redis is away, and the guard in the database
makes it true: a transaction that is let in here holds the guard, so no replace can begin before it ends.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from redis.exceptions import RedisError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.database import Database, try_guard
from app.errors import CertificationUpdateInProgressError, ServiceUnavailableError
from app.import_lock import Holder, ImportLock
from app.models.base import utc_now
from app.storage import runs

DETAIL = "Certification data update is in Progress."
"""The words that the requirement fixes (I6)."""
RETRY_SECONDS = 2

log = structlog.get_logger()


class RecordEditing:
    """Lets writers of records in, or tells them that an import is at work."""

    def __init__(self, database: Database, lock: ImportLock) -> None:
        self._database = database
        self._lock = lock

    async def holder(self, district_id: str) -> Holder | None:
        """Return which run keeps writers out just now; as Redis has it, or without Redis the run's row."""
        try:
            return await self._lock.holder(district_id)
        except (RedisError, OSError) as error:
            log.warning("import_lock_unknown", error=type(error).__name__)
        return await self._replacing(district_id)

    async def check(self, district_id: str) -> None:
        """Raise CertificationUpdateInProgressError while an import keeps writers out; asks Redis once."""
        if holder := await self.holder(district_id):
            raise in_progress(holder.run_id)

    @asynccontextmanager
    async def transaction(self, district_id: str) -> AsyncIterator[AsyncSession]:
        """Yield a session in a transaction that may write records of the district.

        What is changed has to end with `storage.versions.edits_moved`. Raises
        CertificationUpdateInProgressError while a replace goes on or is about to, ServiceUnavailableError
        when the database stays busy with something else.
        """
        if self._database.is_sqlite and (holder := await self._replacing(district_id)):
            raise in_progress(holder.run_id)  # reading waits for nobody; the write lock would be waited for
        try:
            async with self._database.write() as session:
                connection = await session.connection()
                free = await try_guard(connection, district_id)
                if free and self._database.is_sqlite:
                    free = await runs.replacing(connection, district_id, utc_now()) is None
                if not free:
                    raise in_progress(await runs.last_replacing(connection, district_id))
                yield session
        except ServiceUnavailableError:
            if holder := await self._replacing(district_id):
                raise in_progress(holder.run_id) from None
            raise

    async def _replacing(self, district_id: str) -> Holder | None:
        async with self._database.read() as session:
            found = await runs.replacing(await session.connection(), district_id, utc_now())
        return Holder(found.id, found.replacing_since) if found else None


def in_progress(run_id: UUID | None) -> CertificationUpdateInProgressError:
    """Return the refusal, with the import that is the reason of it."""
    return CertificationUpdateInProgressError(
        DETAIL,
        headers={"Retry-After": str(RETRY_SECONDS)},
        extra={"run_id": str(run_id) if run_id else None},
    )
