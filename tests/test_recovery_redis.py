"""Redis is lost and comes back, with what it held or without, while runs are in every phase (I6)."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from redis.asyncio.client import Pipeline

from app.constants import RunStatus
from app.factory import Factory
from app.job_queue import QUEUE
from app.models import Run
from app.models.base import utc_now
from app.storage.due_runs import STALE
from tests.support.halting_worker import INSIDE, POINTS
from tests.support.imports import DISTRICT, add_district, run_table, start, write
from tests.support.openssh import OpenSshServer
from tests.support.processes import until_async
from tests.support.recovery import POLL, SECONDS, Deployment
from tests.support.schedules import change_row, create, scheduled
from workers.settings import SWEEP_SECONDS, create_worker
from workers.sweep import sweep

# arq 0.28 closes its connection by a name that redis 5.3 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


@pytest.mark.parametrize("empty", [False, True], ids=["with its data", "empty"])
async def test_runs_go_on_to_their_end_when_redis_crashes_in_any_phase(
    hasty: Deployment, openssh_server: OpenSshServer, empty: bool
) -> None:
    worker = hasty.worker("worker")
    await hasty.add_districts([*POINTS, "waiting"], openssh_server)
    await hasty.open(worker)
    for points in hasty.rounds():
        runs = await hasty.halt_all(points)
        replacing = [run for run in runs if run.district_id in INSIDE]
        await hasty.crash_redis()
        for run in replacing:  # now the run's row says who keeps writers out, and the guard does it
            holder = await hasty.factory.editing.holder(run.district_id)
            assert holder is not None
            assert holder.run_id == run.id
            assert not await hasty.lets_in(run.district_id)
        if empty:
            await hasty.restart_redis(empty=True)
            for run in replacing:
                await lock_is_back(hasty, run.district_id)
            hasty.go(points)
        else:
            hasty.go(points)
            for run in runs:
                await hasty.ended(run)
            await hasty.restart_redis(empty=False)
        for run in runs:
            await hasty.check_imported_once(await hasty.ended(run), attempt=1)
            assert hasty.said("run_started", run) == hasty.said("run_succeeded", run) == 1
    await hasty.crash_redis()
    lost = await hasty.begin("waiting")
    assert lost.status is RunStatus.WAITING
    await hasty.restart_redis(empty=empty)
    await hasty.check_imported_once(await hasty.ended(lost), attempt=1)
    assert worker.lives()


async def test_a_worker_outlives_a_crash_of_redis_in_the_moment_in_which_it_looks_at_a_message(
    hasty: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Pipeline.watch
    crashed: list[str] = []

    async def watch_and_crash(self: Pipeline, name: str) -> Any:
        watched = await watch(self, name)
        if not crashed and name.startswith("arq:in-progress:"):
            crashed.append(name)
            await hasty.crash_redis()
            await hasty.restart_redis(empty=False)
        return watched

    monkeypatch.setattr(Pipeline, "watch", watch_and_crash)
    await add_district(hasty.factory, DISTRICT)
    worker = create_worker(hasty.factory.settings)
    work = asyncio.create_task(worker.async_run())
    try:
        run = await hasty.ended(await hasty.begin(DISTRICT))
        assert (run.failure_code, run.attempt) == ("sftp_not_configured", 1)
        assert crashed
        assert not work.done()
        await until_async(lambda: worker.job_counter == 0)  # no slot is lost with the message
    finally:
        work.cancel()
        await asyncio.wait([work])
        await worker.close()


async def lock_is_back(deployment: Deployment, district_id: str) -> None:
    await until_async(lambda: deployment.factory.import_lock.holder(district_id), SECONDS)


async def test_two_workers_a_race_of_ticks_and_a_storm_of_messages_make_one_run(
    hasty: Deployment, openssh_server: OpenSshServer
) -> None:
    workers = [hasty.worker(name) for name in ("one", "another")]
    await hasty.add_districts(["stormy"], openssh_server)
    for worker in workers:
        await hasty.open(worker)
    factory = hasty.factory
    run = await due_in(factory, "stormy", timedelta(seconds=2))
    await until_async(lambda: utc_now() >= run.scheduled_start, SECONDS)
    await asyncio.gather(
        *(factory.schedule.tick(utc_now()) for _ in range(10)),
        *(factory.queue.enqueue_run(run.id, f"storm {number}") for number in range(40)),
        *(sweep({"factory": factory}) for _ in range(10)),
    )
    await hasty.check_imported_once(await hasty.ended(run), attempt=1)
    redis = factory.queue.redis
    async with asyncio.timeout(SECONDS):
        while any(message.startswith(b"run:") for message in await redis.zrange(QUEUE, 0, -1)):
            await asyncio.sleep(POLL)
    assert run.task_id is not None
    runs = await scheduled(factory, await factory.tasks.get("stormy", run.task_id))
    assert [(each.id == run.id, each.status) for each in runs] == [(True, "succeeded"), (False, "waiting")]
    assert hasty.said("run_started", run) == hasty.said("run_succeeded", run) == 1
    for worker in workers:
        worker.strike(signal.SIGTERM)
        assert worker.process.wait() == 0
        assert not {"job_failed", "task_not_scheduled"} & {event["event"] for event in worker.events()}


async def due_in(factory: Factory, district_id: str, wait: timedelta) -> Run:
    """The next run of a new task, after its due time was moved to soon."""
    task = await create(factory, district=district_id)
    soon = utc_now() + wait
    await change_row(factory, task, next_run_at=soon)
    of_the_task = run_table.c.task_id == task.id
    await write(factory, sa.update(run_table).where(of_the_task).values(slot=soon, scheduled_start=soon))
    (run,) = await scheduled(factory, task)
    return run


async def test_a_run_whose_worker_died_with_a_nudge_gets_another_one_in_time(
    unhurried: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis keeps the mark of a message that a dead worker took for hours, so the next needs its own id."""
    factory = unhurried.factory
    await add_district(factory, DISTRICT)
    run = await start(factory)
    redis = factory.queue.redis

    async def swept(moment: datetime) -> int:
        monkeypatch.setattr("workers.sweep.utc_now", lambda: moment)
        await sweep({"factory": factory})
        return int(await redis.zcard(QUEUE))

    minute = datetime(2026, 11, 22, 12, tzinfo=UTC)
    for number, second in enumerate(sorted(SWEEP_SECONDS)):
        nudged = minute + timedelta(hours=number, seconds=second)
        lost = {"status": RunStatus.IN_PROGRESS, "from_disk": False, "heartbeat_at": nudged - 2 * STALE}
        await write(factory, sa.update(run_table).where(run_table.c.id == run.id).values(lost))
        messages = await swept(nudged)
        taken = {"heartbeat_at": nudged + timedelta(seconds=1)}
        await write(factory, sa.update(run_table).where(run_table.c.id == run.id).values(taken))
        later = (nudged + timedelta(seconds=seconds) for seconds in range(1, 120))
        sweeps = [moment for moment in later if moment.second in SWEEP_SECONDS]
        again = [moment for moment in sweeps if await swept(moment) > messages]
        first = min(moment for moment in sweeps if moment > nudged + timedelta(seconds=1) + STALE)
        assert again[0] == first
