"""Redis is lost and comes back, with what it held or without, while runs are in every phase (I6)."""

import asyncio
import signal

import pytest

from app.constants import RunStatus
from app.job_queue import QUEUE
from tests.support.halting_worker import INSIDE, POINTS
from tests.support.openssh import OpenSshServer
from tests.support.recovery import POLL, SECONDS, Deployment
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


async def lock_is_back(deployment: Deployment, district_id: str) -> None:
    async with asyncio.timeout(SECONDS):
        while await deployment.factory.import_lock.holder(district_id) is None:
            await asyncio.sleep(POLL)


async def test_a_storm_of_messages_makes_one_run(hasty: Deployment, openssh_server: OpenSshServer) -> None:
    workers = [hasty.worker(name) for name in ("one", "another")]
    await hasty.add_districts(["stormy"], openssh_server)
    for worker in workers:
        await hasty.open(worker)
    run = await hasty.begin("stormy")
    queue = hasty.factory.queue
    await asyncio.gather(
        *(queue.enqueue_run(run.id, f"storm {number}") for number in range(40)),
        *(sweep({"factory": hasty.factory}) for _ in range(10)),
    )
    await hasty.check_imported_once(await hasty.ended(run), attempt=1)
    redis = await queue._connect()
    async with asyncio.timeout(SECONDS):
        while any(message.startswith(b"run:") for message in await redis.zrange(QUEUE, 0, -1)):
            await asyncio.sleep(POLL)
    assert hasty.said("run_started", run) == hasty.said("run_succeeded", run) == 1
    for worker in workers:
        worker.strike(signal.SIGTERM)
        assert worker.process.wait() == 0
        assert "job_failed" not in {event["event"] for event in worker.events()}
