"""A queue and workers on a real Redis-protocol server, and runs for them."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from arq.worker import Worker
from pydantic import SecretStr

from app.child_process import ChildProcess
from app.constants import RunKind, RunTrigger
from app.embedded_redis import EmbeddedRedis, find_server
from app.factory import Factory
from app.models import District, Run
from app.models.base import utc_now
from app.services import run_reporting
from app.settings import Settings
from tests.support.imports import DISTRICT, TIMEZONE, empty_pdf
from tests.support.processes import signal_all, until_async
from workers.settings import create_worker

SECONDS = 30


@pytest.fixture
def redis(tmp_path: Path) -> EmbeddedRedis:
    """A Redis of the test's own, which can be started again after a crash."""
    return EmbeddedRedis(tmp_path / "redis", find_server())


@pytest.fixture
async def redis_process(redis: EmbeddedRedis) -> AsyncIterator[ChildProcess]:
    """Its server, which the test may stop or kill."""
    child = await redis.start()
    yield child
    signal_all([child.pid], signal.SIGCONT)
    await child.stop(5)


@pytest.fixture
def redis_url(redis: EmbeddedRedis, redis_process: ChildProcess) -> SecretStr:
    assert redis_process.pid
    return SecretStr(redis.url)


@pytest.fixture
async def service(
    settings: Settings, redis_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Factory]:
    """A service whose only district has no connection, so that a run fails at once with a clear code."""
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)
    factory = Factory(settings.model_copy(update={"redis_url": redis_url}))
    async with factory.database.write() as session:
        session.add(District(id=DISTRICT, name="Default", timezone=TIMEZONE))
    yield factory
    await factory.close()


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Worker]:
    """Run a worker in this process; it gets its SIGTERM at the end."""
    worker = create_worker(settings.model_copy())
    work = asyncio.create_task(worker.async_run())
    try:
        yield worker
    finally:
        work.cancel()
        await asyncio.wait([work])
        await worker.close()


async def add_run(factory: Factory, **values: object) -> Run:
    common = {
        "district_id": DISTRICT,
        "task_description": "Licences",
        "kind": RunKind.IMPORT,
        "trigger": RunTrigger.RUN_NOW,
        "scheduled_start": utc_now(),
        "run_by": "kmarsh",
    }
    run = Run.model_validate(common | values)
    async with factory.database.write() as session:
        session.add(run)
    return run


async def add_districts(factory: Factory, count: int) -> list[str]:
    names = [f"d{number}" for number in range(count)]
    async with factory.database.write() as session:
        session.add_all(District(id=name, name=name, timezone=TIMEZONE) for name in names)
    return names


async def ended(factory: Factory, run: Run) -> Run:
    async def at_its_end() -> Run | None:
        now = await factory.runs.get(run.district_id, run.id)
        return now if now.ended_at else None

    found: Run = await until_async(at_its_end, SECONDS, every=0.05)
    return found
