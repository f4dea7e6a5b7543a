"""Whether the service can do its work: the database must be right, Redis and a worker should be."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import sqlalchemy as sa
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.database import Database
from app.job_queue import JobQueue
from app.migrations import known_revisions, schema_fault
from app.models.base import utc_now
from app.probing import SharedAnswer, within
from app.reach import everywhere, nowhere
from app.storage import metrics
from app.storage.file_store import FileStore
from app.storage.provider_keys import ProviderKeys, ProviderUnavailable

CHECK_SECONDS = 3.0
"""A check that takes longer counts as failed: who asks has a limit of its own, 5 s in `docs/deploy.md`."""


class Health(StrEnum):
    """Of the whole; degraded means that requests are served and that runs have to wait."""

    READY = "ready"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Component:
    """One part that was checked; `detail` says what is wrong, or how much there is of it: `count`."""

    name: str
    up: bool
    detail: str
    needed: bool
    count: int = 0

    @property
    def status(self) -> str:
        """`up` or `down`."""
        return "up" if self.up else "down"


class _DownError(Exception):
    """A part answers and is not well; the message says why."""


Found = tuple[str, int]
"""What a check tells of a part that is well: its detail, and a count."""


class HealthService:
    """Checks the parts, all at once, and once for all who ask at the same time."""

    def __init__(
        self, database: Database, queue: JobQueue, files: FileStore, provider: ProviderKeys | None
    ) -> None:
        self._database = database
        self._files = files
        self._queue = queue
        self._provider = provider
        self._shared = SharedAnswer(self._check)
        known_revisions()  # reads the migrations now, not while a probe waits

    async def check(self) -> tuple[Health, list[Component]]:
        """Return how the whole is, and each of its parts; takes little more than `CHECK_SECONDS`."""
        return await self._shared.get()

    async def _check(self) -> tuple[Health, list[Component]]:
        components = list(
            await asyncio.gather(
                _component("database", self._check_database, needed=True),
                _component("schema", self._check_schema, needed=True),
                _component("redis", self._check_redis, needed=False),
                _component("worker", self._check_worker, needed=False),
                _component("storage", self._check_storage, needed=False),
                _component("queue", self._check_queue, needed=False),
                *self._provider_components(),
            )
        )
        down = [component for component in components if not component.up]
        if any(component.needed for component in down):
            return Health.UNAVAILABLE, components
        return Health.DEGRADED if down else Health.READY, components

    def _provider_components(self) -> list[Coroutine[Any, Any, Component]]:
        if self._provider is None:
            return []
        return [_component("identity_provider", partial(_check_provider, self._provider), needed=False)]

    async def _check_database(self) -> Found:
        with nowhere():
            async with self._database.engine.connect() as connection:
                await connection.execute(sa.select(1))
        return "", 0

    async def _check_schema(self) -> Found:
        with nowhere():
            async with self._database.engine.connect() as connection:
                if fault := await schema_fault(connection):
                    raise _DownError(fault)
        return "", 0

    async def _check_redis(self) -> Found:
        await self._queue.ping()
        return "", 0

    async def _check_storage(self) -> Found:
        if fault := await self._files.check():
            raise _DownError(fault)
        return "", 0

    async def _check_worker(self) -> Found:
        count = await self._queue.live_workers()
        if not count:
            raise _DownError("none is running; start `certsync worker`")
        return f"{count} running", count

    async def _check_queue(self) -> Found:
        """Tell how long runs wait. A long wait is no fault of a part: all workers may be busy."""
        now = utc_now()
        with everywhere():
            async with self._database.engine.connect() as connection:
                count, oldest = await metrics.due(connection, now)
        if oldest is None:
            return "no run is due", 0
        return f"{count} due, the oldest since {(now - oldest).total_seconds():.0f} s", count


async def _check_provider(keys: ProviderKeys) -> Found:
    try:
        count = await keys.check()
    except ProviderUnavailable as error:
        raise _DownError(str(error)) from error
    return f"{count} keys", count


async def _component(
    name: str, check: Callable[[], Coroutine[Any, Any, Found]], *, needed: bool
) -> Component:
    up, count = False, 0
    try:
        detail, count = await within(CHECK_SECONDS, check())
        up = True
    except _DownError as down:
        detail = str(down)
    except TimeoutError:
        detail = f"no answer within {CHECK_SECONDS:g} s"
    except RedisError as error:
        detail = f"Redis does not answer ({type(error).__name__})"
    except (SQLAlchemyError, OSError) as error:
        detail = f"cannot be reached ({type(error).__name__})"
    return Component(name, up, detail, needed, count)
