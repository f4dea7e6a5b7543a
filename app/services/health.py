"""Whether the service can do its work: the database must be right, Redis and a worker should be."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.database import Database
from app.job_queue import JobQueue
from app.migrations import known_revisions, schema_fault
from app.storage.file_store import FileStore

CHECK_SECONDS = 5.0
"""A check that takes longer counts as failed: whoever asks has a limit of its own."""


class Health(StrEnum):
    """Of the whole; degraded means that requests are served and that runs have to wait."""

    READY = "ready"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Component:
    """One part that was checked; `detail` says what is wrong, and is empty when it is up."""

    name: str
    up: bool
    detail: str
    needed: bool

    @property
    def status(self) -> str:
        """`up` or `down`."""
        return "up" if self.up else "down"


class HealthService:
    """Checks the parts, all at once."""

    def __init__(self, database: Database, queue: JobQueue, files: FileStore) -> None:
        self._database = database
        self._files = files
        self._queue = queue
        known_revisions()  # reads the migrations now, not while a probe waits

    async def check(self) -> tuple[Health, list[Component]]:
        """Return how the whole is, and each of its parts."""
        components = list(
            await asyncio.gather(
                _component("database", self._check_database, needed=True),
                _component("redis", self._check_redis, needed=False),
                _component("worker", self._check_worker, needed=False),
                _component("storage", self._files.check, needed=False),
            )
        )
        down = [component for component in components if not component.up]
        if any(component.needed for component in down):
            return Health.UNAVAILABLE, components
        return Health.DEGRADED if down else Health.READY, components

    async def _check_database(self) -> str:
        async with self._database.engine.connect() as connection:
            return await schema_fault(connection)

    async def _check_redis(self) -> str:
        await self._queue.ping()
        return ""

    async def _check_worker(self) -> str:
        return "" if await self._queue.live_workers() else "none is running; start `certsync worker`"


async def _component(name: str, check: Callable[[], Awaitable[str]], *, needed: bool) -> Component:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            detail = await check()
    except TimeoutError:
        detail = f"no answer within {CHECK_SECONDS:g} s"
    except RedisError as error:
        detail = f"Redis does not answer ({type(error).__name__})"
    except (SQLAlchemyError, OSError) as error:
        detail = f"cannot be reached ({type(error).__name__})"
    return Component(name=name, up=not detail, detail=detail, needed=needed)
