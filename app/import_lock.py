"""The Redis lock of a district's import: it tells writers at once that records are being replaced (I6).

It is the quick answer, not the proof: a lock in Redis can expire while its holder sleeps. What makes the
exclusion true is the guard in the database (`app/database.py`), so Redis may be away or restart empty.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self, TypeAlias
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError

from app.background import in_background
from app.failures import DatabaseFailed
from app.redis_client import close, redis_client
from app.settings import Settings

KEY = "certsync:import-lock:"
"""Prefix of the lock's key; the district's id follows."""
NO_RUN = "-"
TTL = 10.0
"""Seconds after which the lock of a dead holder is gone."""
RENEWAL = TTL / 4
PATIENCE = TTL * 1.5
"""Seconds that a run waits for the lock of one before it, whose worker may just have died."""
POLL = 0.2
ANSWER_LIMIT = 1.0
"""Seconds that Redis has to connect and to answer: a request must not hang with it."""

Guarded: TypeAlias = Callable[[], Awaitable[bool]]
"""Tells whether the database still keeps writers out for us."""

log = structlog.get_logger()


def lock_lost() -> DatabaseFailed:
    """Return the end of a run whose lock somebody else has."""
    return DatabaseFailed(
        "Another import of the district held its lock. Nothing was changed. Run it again later."
    )


async def always() -> bool:
    """Stand for a guard that cannot be lost."""
    return True


@dataclass(frozen=True)
class Holder:
    """The run that replaces a district's records, and since when; None for what is not known.

    Without a run it is the erasure of a person.
    """

    run_id: UUID | None
    since: datetime | None

    @classmethod
    def parse(cls, token: str) -> Self:
        """Read what `HeldLock.token` wrote; somebody else's is a lock all the same."""
        try:
            run_id, _, since = token.split("/")
            return cls(None if run_id == NO_RUN else UUID(run_id), datetime.fromisoformat(since))
        except ValueError:
            log.warning("import_lock_of_unknown_holder")
            return cls(None, None)


class HeldLock:
    """The lock of one execution; `token` names it and nobody else."""

    def __init__(self, redis: Redis, district_id: str, run_id: UUID | None, owner: UUID) -> None:
        self._redis = redis
        self._key = f"{KEY}{district_id}"
        self._lock = Lock(redis, self._key, timeout=TTL, sleep=POLL, thread_local=False)
        self._mine = f"{run_id or NO_RUN}/{owner}/"
        self.token = f"{self._mine}{datetime.now(UTC).isoformat(timespec='seconds')}"

    async def acquire(self) -> None:
        """Take the lock, waiting for one before us to expire; without Redis go on under the guard alone.

        Raises DatabaseFailed when somebody else keeps it.
        """
        try:
            taken = await self._lock.acquire(token=self.token, blocking_timeout=PATIENCE)
        except (RedisError, OSError) as error:
            log.warning("import_lock_unavailable", error=type(error).__name__)
            return
        if not taken:
            raise lock_lost()

    async def keep(self, guarded: Guarded) -> None:
        """Renew the lock until cancelled; take it again when Redis restarted without it.

        Not without the guard: who is cut off from the database alone must not keep writers out for ever.
        """
        while True:
            await asyncio.sleep(RENEWAL)
            if not await guarded():
                log.warning("import_lock_without_guard")
                continue
            try:
                if await self._lock.owned():
                    await self._lock.reacquire()
                elif not await self._lock.acquire(token=self.token, blocking=False):
                    log.warning("import_lock_taken")
            except (RedisError, OSError) as error:
                log.warning("import_lock_not_renewed", error=type(error).__name__)

    async def is_anothers(self) -> bool:
        """Tell whether somebody else holds the lock; without Redis, the guard has the last word.

        One of this execution that could not be released, of an earlier try, is nobody else's.
        """
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                found = await self._redis.get(self._key)
        except (RedisError, OSError) as error:
            log.warning("import_lock_unknown", error=type(error).__name__)
            return False
        return found is not None and not found.startswith(self._mine)

    async def release(self) -> None:
        """Let writers in again; a lock that cannot be released expires."""
        try:
            await self._lock.release()
        except LockError:
            log.info("import_lock_gone")
        except (RedisError, OSError) as error:
            log.warning("import_lock_not_released", error=type(error).__name__)


class ImportLock:
    """The locks of all districts, as one process sees them; `timed` measures how long one is held."""

    def __init__(
        self, settings: Settings, timed: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._timed = timed
        self._redis = redis_client(
            settings,
            Redis,
            socket_timeout=ANSWER_LIMIT,
            socket_connect_timeout=ANSWER_LIMIT,
            decode_responses=True,
            encoding_errors="replace",
        )

    async def holder(self, district_id: str) -> Holder | None:
        """Return who holds the district's lock; raises RedisError or OSError without Redis.

        Those who ask at the same time connect one after the other, so the limit is for both together.
        """
        async with asyncio.timeout(ANSWER_LIMIT):
            token = await self._redis.get(f"{KEY}{district_id}")
        return Holder.parse(token) if token is not None else None

    @asynccontextmanager
    async def held(
        self, district_id: str, run_id: UUID | None, owner: UUID, guarded: Guarded = always
    ) -> AsyncIterator[HeldLock]:
        """Hold the district's lock while the body runs. Raises DatabaseFailed if another keeps it."""
        lock = HeldLock(self._redis, district_id, run_id, owner)
        await lock.acquire()
        with self._timed():
            try:
                async with in_background(lock.keep(guarded)):
                    yield lock
            finally:
                await asyncio.shield(lock.release())

    async def close(self) -> None:
        """Close the connections."""
        await close(self._redis)
