"""The queue and the worker, on a real Redis-protocol server."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import time_machine
from arq import Retry
from pydantic import SecretStr

from app.constants import RunStatus, RunTrigger, TaskStatus
from app.factory import Factory
from app.job_queue import deserialize, serialize
from app.models import District, Run, Task
from app.models.base import utc_now
from app.services import run_execution
from app.services.runs import RunOptions
from app.services.schedule import Schedule
from app.settings import Settings
from app.storage.due_runs import STALE
from tests.support.databases import in_every_mode
from tests.support.imports import DISTRICT
from tests.support.processes import until_async
from tests.support.queueing import SECONDS, add_districts, add_run, ended, working
from tests.support.schedules import create, scheduled
from workers import run_import as job
from workers.sweep import PATIENCE, sweep

# arq 0.28 closes its connection by a name that redis 5.3 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


@in_every_mode
async def test_run_now_reaches_a_worker(service: Factory) -> None:
    task = Task(
        district_id=DISTRICT,
        description="Licences",
        status=TaskStatus.INACTIVE,
        timezone="America/New_York",
        created_by="kmarsh",
        updated_by="kmarsh",
        scheduled_by="kmarsh",
        version=1,
    )
    async with service.database.write() as session:
        session.add(task)
    async with working(service.settings):
        run = await ended(service, await service.runs.start(DISTRICT, task.id, "kmarsh", RunOptions()))
        assert (run.status, run.failure_code) == (RunStatus.FAILED, "sftp_not_configured")
        assert await service.queue.live_workers() == 1
        again = await ended(service, await service.runs.start(DISTRICT, task.id, "kmarsh", RunOptions()))
        assert again.id != run.id
    assert await service.queue.live_workers() == 0


async def test_duplicate_messages_make_one_execution(
    service: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "GIVE_BACK_SECONDS", 0.1)
    run = await add_run(service)
    for message in ("1", "1", "2", "again"):
        assert await service.queue.enqueue_run(run.id, message)
    async with working(service.settings) as worker:
        await ended(service, run)
        await until_async(lambda: worker.jobs_complete >= 3 + 2, SECONDS)  # tick and sweep at start-up too
    assert (await service.runs.get(DISTRICT, run.id)).attempt == 1


async def test_message_for_a_run_that_is_gone_is_harmless(service: Factory) -> None:
    assert await service.queue.enqueue_run(uuid4(), "1")
    run = await add_run(service)
    await service.queue.enqueue_run(run.id, "1")
    async with working(service.settings) as worker:
        await ended(service, run)
        assert worker.jobs_failed == 0


@pytest.mark.parametrize(
    ("status", "age", "swept"),
    [
        (RunStatus.WAITING, PATIENCE * 2, True),
        (RunStatus.WAITING, PATIENCE / 2, False),
        (RunStatus.WAITING, -timedelta(hours=1), False),
        (RunStatus.IN_PROGRESS, STALE * 2, True),
        (RunStatus.IN_PROGRESS, STALE / 2, False),
        (RunStatus.CANCELLED, STALE * 2, False),
    ],
)
async def test_sweep_nudges_only_what_was_left_lying(
    service: Factory, status: RunStatus, age: timedelta, swept: bool
) -> None:
    """A waiting run whose message was lost, and a run whose worker died without a heartbeat."""
    then = utc_now() - age
    run = await add_run(
        service, status=status, scheduled_start=then, heartbeat_at=then, owner=uuid4(), attempt=1
    )
    await sweep({"factory": service})
    redis = service.queue.redis
    queued = [list(job.args) for job in await redis.queued_jobs()]
    assert queued == ([[str(run.id)]] if swept else [])
    if swept:
        async with working(service.settings):
            assert (await ended(service, run)).attempt == 2


async def test_sweep_gets_past_the_mark_of_a_worker_that_died_with_the_message(service: Factory) -> None:
    run = await add_run(service, scheduled_start=utc_now() - PATIENCE * 2)
    await service.queue.enqueue_run(run.id, "start")
    redis = service.queue.redis
    await redis.set(f"arq:in-progress:run:{run.id}:start", b"1", ex=3600)
    async with working(service.settings):  # it sweeps when it starts
        assert (await ended(service, run)).attempt == 1


async def test_sweep_ends_a_run_whose_file_went_with_its_process(service: Factory) -> None:
    run = await add_run(service, scheduled_start=utc_now() - STALE * 2, from_disk=True)
    await sweep({"factory": service})
    assert (await ended(service, run)).failure_code == "worker_lost"
    redis = service.queue.redis
    assert await redis.queued_jobs() == []


async def test_run_waits_when_redis_is_away(settings: Settings, tmp_path: Path) -> None:
    factory = Factory(settings.model_copy(update={"redis_url": SecretStr(f"unix://{tmp_path}/no.sock")}))
    try:
        async with factory.database.write() as session:
            session.add(District(id=DISTRICT, name="Default", timezone="America/New_York"))
        run = await add_run(factory)
        assert await factory.queue.enqueue_run(run.id, "1") is False
        assert (await factory.runs.get(DISTRICT, run.id)).status == RunStatus.WAITING
    finally:
        await factory.close()


@in_every_mode
async def test_a_scheduled_run_reaches_a_worker(service: Factory) -> None:
    with time_machine.travel(utc_now() - timedelta(days=3)):
        task = await create(service)
    async with working(service.settings):  # it looks at the clock when it starts
        (due, following) = await until_scheduled(service, task)
        run = await ended(service, due)
    assert (run.trigger, run.slot, run.late) == (RunTrigger.SCHEDULE, task.next_run_at, True)
    assert run.failure_code == "sftp_not_configured"
    assert following.status == RunStatus.WAITING
    assert following.scheduled_start > utc_now()


async def until_scheduled(factory: Factory, task: Task) -> list[Run]:
    """Wait until a tick has placed the task's next occurrence."""

    async def both() -> list[Run] | None:
        runs = await scheduled(factory, task)
        return runs if len(runs) >= 2 else None

    runs: list[Run] = await until_async(both, SECONDS, every=0.05)
    return runs


async def test_runs_never_keep_the_worker_from_its_chores(
    service: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many more runs are due than a worker executes at once; the clock is looked at, and lost runs found."""
    executing, most, done, release = set[UUID](), 0, set[UUID](), asyncio.Event()

    async def importing(_self: object, run: Run, _path: object) -> None:
        nonlocal most
        executing.add(run.id)
        most = max(most, len(executing))
        await release.wait()
        executing.remove(run.id)
        done.add(run.id)

    monkeypatch.setattr(run_execution.RunExecution, "_import", importing)
    at_once = service.settings.runs_per_worker
    waiting = {(await add_run(service, district_id=name)).id for name in await add_districts(service, 30)}
    for run_id in waiting:
        await service.queue.enqueue_run(run_id, "due")
    async with working(service.settings) as worker:
        try:
            # One run may be given back again before another has got as far as to be executed.
            await until_async(
                lambda: worker.jobs_retried >= len(waiting) - at_once and len(executing) == at_once, SECONDS
            )
            with time_machine.travel(utc_now() - timedelta(days=3)):
                task = await create(service)
            redis = service.queue.redis
            for chore in ("cron:tick", "cron:sweep"):
                assert await redis.enqueue_job(chore, _job_id=f"{chore}:now")
            await until_scheduled(service, task)

            async def swept() -> bool:
                return not await redis.exists("arq:job:cron:sweep:now")

            await until_async(swept, SECONDS, every=0.05)
            assert (len(executing), done) == (at_once, set())
        finally:
            release.set()
        await until_async(lambda: waiting <= done, SECONDS)
    assert most == at_once


async def test_a_full_worker_gives_a_message_back_a_few_times(service: Factory) -> None:
    full: dict[str, Any] = {
        "executing": set(range(service.settings.runs_per_worker)),
        "job_id": "another",
        "factory": service,
    }
    with pytest.raises(Retry) as given_back:
        await job.run_import(full | {"job_try": 1}, str(uuid4()))
    assert given_back.value.defer_score == job.GIVE_BACK_SECONDS * 1000
    await job.run_import(full | {"job_try": job.GIVE_BACK_TRIES}, str(uuid4()))
    assert full["executing"] == set(range(service.settings.runs_per_worker))


async def test_a_worker_starts_although_the_schedule_cannot_be_recomputed(
    service: Factory, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    async def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(Schedule, "recompute", fail)
    run = await add_run(service)
    await service.queue.enqueue_run(run.id, "start")
    async with working(service.settings):
        await ended(service, run)
    (event,) = [event for event in logs if event["event"] == "recompute_failed"]
    assert event["error"] == "OSError"


def test_jobs_are_json() -> None:
    job = {"t": 1, "f": "run_import", "a": [str(uuid4())], "k": {}, "et": 1700000000000}
    assert deserialize(serialize(job)) == job
    with pytest.raises(UnicodeDecodeError):
        deserialize(b"\x80\x04\x95pickle")
