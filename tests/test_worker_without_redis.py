"""A worker whose Redis goes away: its runs go on, and it works as before when Redis is back."""

import asyncio
import gc
import signal
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from arq.worker import Worker
from pydantic import SecretStr

from app import job_queue
from app.child_process import ChildProcess
from app.embedded_redis import EmbeddedRedis
from app.factory import Factory
from app.job_queue import QUEUE, JobQueue
from app.services.run_execution import RunExecution
from app.settings import Settings
from tests.support.faulty_proxy import FaultyProxy
from tests.support.processes import until_async
from tests.support.queueing import add_districts, add_run, ended, working
from workers.settings import create_worker

SLACK = 8.0
"""Seconds that a busy machine may add to a limit."""

# arq 0.28 closes its connection by a name that redis 5.3 has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning"),
    pytest.mark.parametrize("settings", ["sqlite"], indirect=True),
]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a worker that a test can wait for."""
    monkeypatch.setattr(job_queue, "PATIENT_LIMIT", 0.3)
    monkeypatch.setattr(job_queue, "RETRIES", 1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["silent", "gone"])
async def test_it_goes_on_with_its_run_and_takes_others_when_redis_is_back(
    service: Factory,
    redis: EmbeddedRedis,
    redis_process: ChildProcess,
    how: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    logs: list[dict[str, object]],
) -> None:
    """As long as a run takes hours, nothing else may wait for its end."""
    names = await add_districts(service, 2)
    long = await add_run(service, district_id=names[0])
    begins, ends = asyncio.Event(), asyncio.Event()
    execute = RunExecution._execute

    async def held(execution: RunExecution, importing: object) -> None:
        if not begins.is_set():
            begins.set()
            await ends.wait()
        await execute(execution, importing)  # type: ignore[arg-type] # it is passed on as it came

    monkeypatch.setattr(RunExecution, "_execute", held)
    async with AsyncExitStack() as servers, working(service.settings), AsyncExitStack() as stack:
        stack.callback(ends.set)  # the worker waits for its runs
        await service.queue.enqueue_run(long.id, "due")
        async with asyncio.timeout(SLACK):
            await begins.wait()
        redis_process.process.send_signal(how)
        await until_async(lambda: any(event["event"] == "redis_lost" for event in logs))
        assert (await service.runs.get(names[0], long.id)).ended_at is None
        if how is signal.SIGKILL:
            await redis_process.wait()
            servers.push_async_callback((await redis.start()).stop, 5)
        else:
            redis_process.process.send_signal(signal.SIGCONT)
        other = await add_run(service, district_id=names[1])
        await until_async(lambda: service.queue.enqueue_run(other.id, uuid4().hex), SLACK)
        assert (await ended(service, other)).failure_code == "sftp_not_configured"
        await until_async(service.queue.live_workers, SLACK)
        assert (await service.runs.get(names[0], long.id)).ended_at is None
        ends.set()
        assert (await ended(service, long)).attempt == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.filterwarnings("ignore:Unclosed client session:ResourceWarning")  # redis-py forgets a pipeline
async def test_no_slot_is_lost_with_redis(service: Factory, redis: EmbeddedRedis) -> None:
    """Wherever it goes while a message is looked at, even one that another worker is at."""
    for number in range(3):
        await service.queue.redis.zadd(QUEUE, {f"elsewhere-{number}": 1})
        await service.queue.redis.set(f"arq:in-progress:elsewhere-{number}", 1)
    async with FaultyProxy(redis.socket) as proxy:
        url = SecretStr(f"redis://127.0.0.1:{proxy.port}/0")
        worker: Worker = create_worker(service.settings.model_copy(update={"redis_url": url}))
        for limit in range(70, 130, 5):
            proxy.stall_after(limit)
            await worker._poll_iteration()
            proxy.resume()
            await worker.pool.connection_pool.disconnect()
        await until_async(lambda: all(task.done() for task in worker.tasks.values()))
        await asyncio.sleep(0)
        assert worker.job_counter == 0
        assert worker.sem._value == worker.max_jobs + 1
        await worker.pool.aclose()
        gc.collect()  # what redis-py forgot, while that is expected


async def test_messages_under_way_elsewhere_hide_no_others(service: Factory) -> None:
    redis = service.queue.redis
    await redis.zadd(QUEUE, {f"elsewhere-{number}": 1 for number in range(300)})
    await redis.mset({f"arq:in-progress:elsewhere-{number}": 1 for number in range(300)})
    run = await add_run(service)
    async with working(service.settings):
        await service.queue.enqueue_run(run.id, "due")
        await ended(service, run)


@pytest.mark.parametrize("limit", range(1, 40, 6))
async def test_a_message_is_given_up_in_time_wherever_redis_falls_silent(
    settings: Settings,
    redis: EmbeddedRedis,
    redis_process: ChildProcess,
    limit: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert redis_process.pid
    monkeypatch.setattr(job_queue, "ANSWER_LIMIT", 0.5)
    async with FaultyProxy(redis.socket) as proxy:
        queue = JobQueue(
            settings.model_copy(update={"redis_url": SecretStr(f"redis://127.0.0.1:{proxy.port}/0")})
        )
        proxy.stall_after(limit)
        async with asyncio.timeout(SLACK / 2):
            assert not await queue.enqueue_run(uuid4(), "due")
        proxy.resume()
        async with asyncio.timeout(SLACK):
            while not await queue.enqueue_run(uuid4(), "due"):
                pass
        await queue.close()
