"""The worker: what it does, how often, and how patiently."""

import asyncio
import os
import socket
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import structlog
from arq import cron, func
from arq.worker import Worker
from redis.exceptions import RedisError

from app.constants import WORKER_KEYS
from app.database import CONNECTIONS, CONNECTIONS_OF_A_RUN
from app.factory import Factory
from app.garbage import collect_less
from app.job_queue import QUEUE, RUN_JOB, deserialize, queue_redis, serialize
from app.redis_client import close_sentinels
from app.settings import Settings
from app.transport import warn_of_clear_connections
from app.watchdog import signs_of_life
from workers.expire import expire
from workers.forget import forget
from workers.metrics import serve_metrics
from workers.run_import import TURN, run_import
from workers.seal import seal
from workers.sweep import sweep
from workers.tick import recompute, tick

TICK_SECONDS = {0, 15, 30, 45}
SWEEP_SECONDS = {5, 20, 35, 50}
SEAL_SECONDS = {10, 40}
FORGET_MINUTE, EXPIRE_MINUTE, FORGET_SECOND = 37, 47, 25
CHORE_SLOTS = 8
"""Jobs beside the runs: tick, sweep, and messages that are about to be given back."""
CHORE_LIMIT = 60
"""Seconds after which a tick or a sweep that hangs is stopped; the next one goes on."""
MESSAGES_SEEN = 1000
"""Messages at the head of the queue that a look reaches; those under way, on all workers, are among them."""
GRACE = 20
"""Seconds that a stopping worker gives its runs before it puts them back."""
HEALTH_INTERVAL = 5
NICENESS = 5
"""On a machine that both share a worker gives way to the API: an import can wait, a person should not.

Little enough that a replace, for which people wait as well, is hardly longer.
"""

log = structlog.get_logger()


class PatientWorker(Worker):
    """arq's worker would end when Redis is lost, but after its runs: deaf until then. This one goes on."""

    _begun = _ended = 0

    async def _poll_iteration(self) -> None:
        """Look for messages and show that we live. Our runs need no Redis, so without it we look again."""
        try:
            await super()._poll_iteration()
        except (RedisError, OSError) as error:
            log.warning("redis_lost", error=type(error).__name__)

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start what nobody else has started, and give the slot back that arq keeps of what fails."""
        for job_id in job_ids:
            name = job_id.decode()
            before = self.tasks.get(name)
            try:
                await super().start_jobs([job_id])
            finally:
                self._begun += self.tasks.get(name) is not before
                if self.job_counter > self._begun - self._ended:
                    self._ended -= 1  # it never began
                    self._release_sem_dec_counter_on_complete()

    def _release_sem_dec_counter_on_complete(self) -> None:
        self._ended += 1
        super()._release_sem_dec_counter_on_complete()


def connections(settings: Settings) -> tuple[int, int]:
    """Return how many connections to PostgreSQL stay and may be added: a run must never wait for one."""
    stay, more = CONNECTIONS
    return stay, max(more, CHORE_SLOTS + CONNECTIONS_OF_A_RUN * settings.runs_per_worker - stay)


def create_worker(settings: Settings) -> Worker:
    """Return a worker for the queue of `settings`, ready to run. Raises ConfigurationError."""
    redis = queue_redis(settings, patient=True)

    async def startup(ctx: dict[str, Any]) -> None:
        closing = ctx["closing"] = AsyncExitStack()
        factory = ctx["factory"] = Factory(settings, connections=connections(settings))
        closing.push_async_callback(factory.close)
        warn_of_clear_connections(settings)
        closing.callback(serve_metrics(settings, factory.run_metrics))
        ctx["executing"] = set()
        await recompute(factory)

    async def shutdown(ctx: dict[str, Any]) -> None:
        await ctx["closing"].aclose()
        await close_sentinels(redis)  # the rest of it arq closes

    worker = PatientWorker(
        functions=[func(run_import, name=RUN_JOB)],
        cron_jobs=[
            cron(tick, second=TICK_SECONDS, run_at_startup=True, timeout=CHORE_LIMIT),
            cron(sweep, second=SWEEP_SECONDS, run_at_startup=True, timeout=CHORE_LIMIT),
            cron(seal, second=SEAL_SECONDS, timeout=CHORE_LIMIT),
            cron(forget, minute=FORGET_MINUTE, second=FORGET_SECOND, timeout=CHORE_LIMIT),
            cron(expire, minute=EXPIRE_MINUTE, second=FORGET_SECOND, timeout=CHORE_LIMIT),
        ],
        on_startup=startup,
        on_shutdown=shutdown,
        redis_pool=redis,
        queue_name=QUEUE,
        job_serializer=serialize,
        job_deserializer=deserialize,
        max_jobs=settings.runs_per_worker + CHORE_SLOTS,
        queue_read_limit=MESSAGES_SEEN,
        # The run's own limit ends it in good order; this one only catches what hangs beyond it.
        job_timeout=TURN + settings.run_timeout + settings.pdf_timeout + 300,
        job_completion_wait=GRACE,
        # Attempts are counted in the run row, and what a run came to is there as well.
        max_tries=1000,
        keep_result=0,
        health_check_interval=HEALTH_INTERVAL,
        # One key a worker: a shared one would vanish for all when one worker stops.
        health_check_key=f"{WORKER_KEYS}{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}",
        allow_abort_jobs=False,
    )
    worker.ctx["worker"] = worker  # jobs ask it whether it stops
    return worker


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; runs that are not done within `GRACE` are put back."""
    os.nice(NICENESS)
    collect_less()
    async with signs_of_life():
        worker = create_worker(settings)
        try:
            await worker.async_run()
        except asyncio.CancelledError:
            log.info("worker_stopped")
        finally:
            try:
                await worker.close()
            except (RedisError, OSError) as error:  # its last word to Redis, which nobody needs
                log.warning("redis_lost", error=type(error).__name__)
