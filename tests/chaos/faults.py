"""The faults: how each strikes, how long it lasts, and what may be said and fail because of it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from redis.asyncio import Redis

from tests.chaos.deployment import POLL, Deployment
from tests.chaos.load import Load
from tests.chaos.phases import PHASES, Caught
from tests.support.lying_sftp import serving
from tests.support.processes import until_async

AWAY = 12.0
"""Seconds for which a server is away: longer than the import lock lives."""
CUT_OFF = 25.0
"""Seconds for which a worker is cut off: long enough for its run to be taken by another."""
HUNG = 35.0
"""Seconds for which PostgreSQL hangs: longer than the API waits for an answer."""
SLOW = 0.4
SEEN_LIMIT = 20
RUN_LIMIT = 75
READY, DEGRADED, UNAVAILABLE = "ready", "degraded", "unavailable"


@dataclass
class Strike:
    """One blow: what it is dealt to."""

    deployment: Deployment
    load: Load
    caught: Caught
    at: float = 0.0

    async def said(self, status: str) -> None:
        """Wait until both API processes have said so of themselves."""
        every_api = set(range(len(self.deployment.clients)))
        probes = self.load.probes
        await until_async(
            lambda: {one.api for one in probes if one.sent > self.at and one.status == status} == every_api,
            SEEN_LIMIT * self.load.patience,
        )

    async def run_over(self) -> None:
        """Wait until the run that was caught is over."""

        async def is_over() -> bool:
            with suppress(psycopg.OperationalError):  # another fault, of the same burst
                return not await self.deployment.unfinished(self.caught.district.name)
            return False

        await until_async(is_over, RUN_LIMIT * self.load.patience, every=POLL)


Blow = Callable[[Strike], AbstractAsyncContextManager[None]]
"""Strikes on entering, heals on leaving."""


@dataclass(frozen=True)
class Fault:
    """`lasts` waits for as long as it shall last; `says` are the right words of the health meanwhile.

    `codes` are the failures that runs may end in; `since_strike` tells that writers and runs are waited for
    from the blow on, not from its healing. `before` is entered before the run is started.
    """

    name: str
    phases: tuple[str, ...]
    blow: Blow
    lasts: Callable[[Strike], Awaitable[None]]
    says: frozenset[str] = frozenset({READY})
    codes: frozenset[str] = frozenset()
    since_strike: bool = False
    before: Callable[[Deployment, str], AbstractAsyncContextManager[None]] | None = None


def seconds(number: float) -> Callable[[Strike], Awaitable[None]]:
    """Last for a time."""

    async def wait(_: Strike) -> None:
        await asyncio.sleep(number)

    return wait


def until_said(status: str, more: float = 0) -> Callable[[Strike], Awaitable[None]]:
    """Last until both API processes have told it, and `more` seconds."""

    async def wait(strike: Strike) -> None:
        await strike.said(status)
        await asyncio.sleep(more)

    return wait


@asynccontextmanager
async def kill(strike: Strike) -> AsyncIterator[None]:
    strike.caught.worker.signal(signal.SIGKILL)
    yield


@asynccontextmanager
async def kill_all(strike: Strike) -> AsyncIterator[None]:
    for worker in strike.deployment.workers:
        worker.may_start.clear()
        worker.signal(signal.SIGKILL)
    yield
    for worker in strike.deployment.workers:
        worker.may_start.set()


@asynccontextmanager
async def stop(strike: Strike) -> AsyncIterator[None]:
    strike.caught.worker.signal(signal.SIGSTOP)
    yield
    strike.caught.worker.signal(signal.SIGCONT)


@asynccontextmanager
async def cut_off(strike: Strike) -> AsyncIterator[None]:
    proxy = strike.deployment.to_database[strike.caught.worker.name]
    proxy.stall()
    yield
    proxy.resume()


@asynccontextmanager
async def crash_postgres(strike: Strike) -> AsyncIterator[None]:
    await asyncio.to_thread(strike.deployment.cluster.crash)
    yield
    await asyncio.to_thread(strike.deployment.cluster.start)


@asynccontextmanager
async def halt_postgres(strike: Strike) -> AsyncIterator[None]:
    with strike.deployment.cluster.halted():
        yield


@asynccontextmanager
async def crash_redis(strike: Strike) -> AsyncIterator[None]:
    server = strike.deployment.redis_server
    server.kill()
    await server.wait()
    yield
    await strike.deployment.restart_redis()


@asynccontextmanager
async def flush_redis(strike: Strike) -> AsyncIterator[None]:
    async with Redis(unix_socket_path=str(strike.deployment.redis.socket)) as client:
        await client.flushall()
    yield


@asynccontextmanager
async def cut_redis(strike: Strike) -> AsyncIterator[None]:
    strike.deployment.to_redis.cut()
    yield
    strike.deployment.to_redis.mend()


@asynccontextmanager
async def silence_redis(strike: Strike) -> AsyncIterator[None]:
    strike.deployment.to_redis.stall()
    yield
    strike.deployment.to_redis.mend()


@asynccontextmanager
async def slow_redis(strike: Strike) -> AsyncIterator[None]:
    strike.deployment.to_redis.delay = SLOW
    yield
    strike.deployment.to_redis.mend()


@asynccontextmanager
async def fill_disk(strike: Strike) -> AsyncIterator[None]:
    path = strike.deployment.settings.data_dir / "downloads" / "filler"
    await asyncio.to_thread(fill, path)
    yield
    path.unlink()


def fill(path: Path) -> None:
    """Write until nothing more goes on the disk."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 9, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue


@asynccontextmanager
async def cut_sftp(strike: Strike) -> AsyncIterator[None]:
    proxy = strike.deployment.to_state[strike.caught.district.name]
    proxy.cut()
    yield
    proxy.mend()


@asynccontextmanager
async def slow_sftp(strike: Strike) -> AsyncIterator[None]:
    proxy = strike.deployment.to_state[strike.caught.district.name]
    proxy.rate = 1
    yield
    proxy.mend()


@asynccontextmanager
async def nothing_more(_: Strike) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def lying_state(deployment: Deployment, district: str) -> AsyncIterator[None]:
    """Put a server in the state's place that has its keys and states other sizes than it delivers."""
    ssh, proxy = deployment.ssh, deployment.to_state[district]
    keys: dict[str, Any] = {
        "server_host_keys": [str(ssh.root / "host_ed25519")],
        "authorized_client_keys": str(ssh.root / "authorized_keys"),
    }
    async with serving(Path("/"), lambda size: size // 2, **keys) as target:
        proxy.target = target.port
        yield
        proxy.target = ssh.port


AWAY_OR_NOT = frozenset({READY, DEGRADED})
FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill", PHASES, kill, seconds(0), since_strike=True),
        Fault("kill-all", ("replace",), kill_all, until_said(DEGRADED, 1), AWAY_OR_NOT),
        Fault(
            "postgres-crash", PHASES, crash_postgres, until_said(UNAVAILABLE, 1), frozenset({UNAVAILABLE}),
            frozenset({"database_error"}),
        ),
        Fault(
            "postgres-halt", PHASES, halt_postgres, until_said(UNAVAILABLE, HUNG), frozenset({UNAVAILABLE}),
            frozenset({"database_error"}),
        ),
        Fault("redis-crash", PHASES, crash_redis, until_said(DEGRADED, 1), frozenset({DEGRADED})),
        Fault("redis-flush", PHASES, flush_redis, seconds(0), AWAY_OR_NOT),
        Fault("redis-cut", PHASES, cut_redis, until_said(DEGRADED, AWAY), frozenset({DEGRADED})),
        Fault("redis-silent", PHASES, silence_redis, until_said(DEGRADED, AWAY), frozenset({DEGRADED})),
        Fault("redis-slow", PHASES, slow_redis, seconds(AWAY), AWAY_OR_NOT),
        Fault("sigstop", ("match", "guard", "replace"), stop, Strike.run_over, since_strike=True),
        Fault(
            "network-cut", ("match", "guard", "replace"), cut_off, seconds(CUT_OFF),
            codes=frozenset({"database_error"}), since_strike=True,
        ),
        Fault("disk-full", ("fetch",), fill_disk, Strike.run_over, codes=frozenset({"internal_error"})),
        Fault("sftp-cut", ("fetch",), cut_sftp, Strike.run_over, codes=frozenset({"sftp_interrupted"})),
        Fault("sftp-slow", ("fetch",), slow_sftp, Strike.run_over, codes=frozenset({"sftp_timeout"})),
        Fault(
            "sftp-lies", ("fetch",), nothing_more, Strike.run_over,
            codes=frozenset({"file_changed_while_read"}), before=lying_state,
        ),
    )
}  # fmt: skip
