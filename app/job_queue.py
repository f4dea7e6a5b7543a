"""The only place that puts work on the queue.

A job carries the id of a run and nothing else: the run row is the truth, the queue only nudges. So losing
Redis loses no work, and whoever can write to Redis can make nothing run but a run that exists.
"""

import json
from typing import Any
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.constants import WORKER_KEYS
from app.probing import within
from app.redis_client import close, redis_client
from app.settings import Settings

QUEUE = "certsync:queue"
RUN_JOB = "run_import"
ANSWER_LIMIT = 3.0
"""Seconds that Redis has to take a message: a request must not hang with it."""
PATIENT_LIMIT = 10.0
"""Seconds that a worker waits for an answer before it connects anew; Redis answers in milliseconds."""
RETRIES = 20
"""Of a worker, up to two seconds apart: with the waits in between, more than half a minute."""

log = structlog.get_logger()


def queue_redis(settings: Settings, *, patient: bool) -> ArqRedis:
    """Return a client of the queue; `patient` (workers) rides out a restart, otherwise one try is made.

    Raises ConfigurationError for a URL that cannot be read.
    """
    limit = PATIENT_LIMIT if patient else ANSWER_LIMIT
    options: dict[str, Any] = {"socket_connect_timeout": limit, "socket_timeout": limit}
    if patient:
        options["retry"] = Retry(ExponentialBackoff(cap=2, base=0.1), RETRIES)
        options["retry_on_error"] = [RedisConnectionError, RedisTimeoutError, OSError]
    client = redis_client(settings, ArqRedis, **options)
    client.default_queue_name = QUEUE
    client.job_serializer = serialize
    client.job_deserializer = deserialize
    return client


def serialize(job: dict[str, Any]) -> bytes:
    """Write a job as JSON; arq's default, pickle, would run code for whoever can write to Redis."""
    return json.dumps(job, default=str).encode()


def deserialize(data: bytes) -> dict[str, Any]:
    """Read what `serialize` wrote."""
    job: dict[str, Any] = json.loads(data)
    return job


class JobQueue:
    """Nudges workers; it connects at first use, so that the API also starts without Redis."""

    def __init__(self, settings: Settings) -> None:
        self.redis = queue_redis(settings, patient=False)

    async def enqueue_run(self, run_id: UUID, nudge: str) -> bool:
        """Ask for the execution of a run, once for each `nudge`; False when Redis does not answer.

        A lost nudge is harmless: the sweep finds the waiting run and asks again.
        """
        try:
            message = self.redis.enqueue_job(RUN_JOB, str(run_id), _job_id=f"run:{run_id}:{nudge}")
            await within(ANSWER_LIMIT, message)  # its cancellation talks to Redis as well
        except (RedisError, OSError) as error:
            log.warning("enqueue_failed", run_id=str(run_id), error=type(error).__name__)
            return False
        return True

    async def ping(self) -> None:
        """Return when Redis answers; raises RedisError or OSError when it does not."""
        await self.redis.ping()

    async def live_workers(self) -> int:
        """Return how many workers reported in lately; raises RedisError or OSError without Redis."""
        return len([key async for key in self.redis.scan_iter(match=f"{WORKER_KEYS}*", count=1000)])

    async def close(self) -> None:
        """Close the connection."""
        await close(self.redis)
