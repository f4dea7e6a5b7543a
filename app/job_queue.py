"""The only place that puts work on the queue.

A job carries the id of a run and nothing else: the run row is the truth, the queue only nudges. So losing
Redis loses no work, and whoever can write to Redis can make nothing run but a run that exists.
"""

import asyncio
import json
from typing import Any
from uuid import UUID

import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.constants import WORKER_KEYS
from app.embedded_redis import redis_url
from app.errors import ConfigurationError
from app.settings import Settings

QUEUE = "certsync:queue"
RUN_JOB = "run_import"
ANSWER_LIMIT = 3.0
"""Seconds that Redis has to take a message: a request must not hang with it."""

log = structlog.get_logger()


def redis_settings(settings: Settings, *, patient: bool) -> RedisSettings:
    """Return how to reach Redis; `patient` (workers) rides out a restart, otherwise one try is made."""
    try:
        redis = RedisSettings.from_dsn(redis_url(settings))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigurationError(
            "CERTSYNC_REDIS_URL cannot be read; give redis://host:6379/0, rediss://… or unix:///path"
        ) from error
    redis.conn_timeout = 5
    redis.conn_retries = 20 if patient else 0
    if patient:
        redis.retry = Retry(ExponentialBackoff(cap=2, base=0.1), 20)
        redis.retry_on_error = [RedisConnectionError, RedisTimeoutError, OSError]
    return redis


def serialize(job: dict[str, Any]) -> bytes:
    """Write a job as JSON; arq's default, pickle, would run code for whoever can write to Redis."""
    return json.dumps(job, default=str).encode()


def deserialize(data: bytes) -> dict[str, Any]:
    """Read what `serialize` wrote."""
    job: dict[str, Any] = json.loads(data)
    return job


class JobQueue:
    """Nudges workers; opened at first use, so that the API also starts without Redis."""

    def __init__(self, settings: Settings) -> None:
        self._redis_settings = redis_settings(settings, patient=False)
        self._pool: ArqRedis | None = None
        self._opening = asyncio.Lock()

    async def _connect(self) -> ArqRedis:
        async with self._opening:
            if self._pool is None:
                self._pool = await create_pool(
                    self._redis_settings,
                    default_queue_name=QUEUE,
                    job_serializer=serialize,
                    job_deserializer=deserialize,
                )
        return self._pool

    async def enqueue_run(self, run_id: UUID, nudge: str) -> bool:
        """Ask for the execution of a run, once for each `nudge`; False when Redis does not answer.

        A lost nudge is harmless: the sweep finds the waiting run and asks again.
        """
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                redis = await self._connect()
                await redis.enqueue_job(RUN_JOB, str(run_id), _job_id=f"run:{run_id}:{nudge}")
        except (RedisError, OSError) as error:
            log.warning("enqueue_failed", run_id=str(run_id), error=type(error).__name__)
            return False
        return True

    async def ping(self) -> None:
        """Return when Redis answers; raises RedisError or OSError when it does not."""
        await (await self._connect()).ping()

    async def live_workers(self) -> int:
        """Return how many workers reported in lately; raises RedisError or OSError without Redis."""
        redis = await self._connect()
        return len([key async for key in redis.scan_iter(match=f"{WORKER_KEYS}*", count=1000)])

    async def close(self) -> None:
        """Close the connection."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None
