"""How soon all is well after a worker was struck in the middle of the replace, with the limits as shipped."""

import asyncio
import signal
import time

import pytest
import structlog

from app.constants import RunStatus
from app.models import Run
from tests.support.faulty_proxy import PostgresProxy
from tests.support.openssh import OpenSshServer
from tests.support.processes import until_async
from tests.support.recovery import SECONDS, Contents, Deployment
from tests.support.worker_process import WorkerProcess

WRITERS_WAIT = 30
RUN_WAITS = 60
"""Seconds at most until writers are let in and until the run is taken up (I6)."""
log = structlog.get_logger()

# arq 0.28 closes its connection by a name that redis 5.3 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


async def replacing(deployment: Deployment, worker: WorkerProcess, point: str) -> Run:
    """The run that has halted at the point, in the district that is named as the worker is."""
    await deployment.open(worker)
    run = await deployment.halt(worker.name, point)
    assert not await deployment.lets_in(worker.name)
    return run


async def let_in(deployment: Deployment, run: Run, before: Contents) -> None:
    """Wait until somebody may write records again; none of the run's is there."""
    begun, name = time.monotonic(), run.district_id
    await deployment.until_it_lets_in(name, WRITERS_WAIT)
    log.info("writers_let_in", district=name, seconds=round(time.monotonic() - begun, 1))
    assert await deployment.factory.editing.holder(name) is None
    assert (await deployment.contents([name]))[name] == before


async def taken_up(deployment: Deployment, run: Run, before: Contents) -> Run:
    """Wait for writers to be let in, and for another worker to do the run."""
    begun = time.monotonic()
    await let_in(deployment, run, before)
    ended = await deployment.ended(run, seconds=RUN_WAITS - (time.monotonic() - begun))
    log.info("run_over", district=run.district_id, seconds=round(time.monotonic() - begun, 1))
    await deployment.check_imported_once(ended, attempt=2)
    return ended


@pytest.mark.parametrize(
    ("settings", "blows"),
    [("sqlite", ["SIGKILL"]), ("postgresql", ["SIGKILL", "SIGSTOP"])],
    indirect=["settings"],
    ids=["sqlite", "postgresql"],
)
async def test_writers_and_the_run_of_a_lost_worker_go_on_within_the_limits(
    unhurried: Deployment, openssh_server: OpenSshServer, blows: list[str]
) -> None:
    """On SQLite a stopped worker has to be killed before anybody can write (`app/watchdog.py`)."""
    await unhurried.add_districts(blows, openssh_server)
    before = await unhurried.contents(blows)
    workers = [unhurried.worker(name) for name in blows]
    other = unhurried.worker("other")
    watching = []
    for worker, point in zip(workers, ("writes", "commit"), strict=False):
        run = await replacing(unhurried, worker, point)
        worker.strike(signal.Signals[worker.name])
        watching.append(asyncio.create_task(taken_up(unhurried, run, before[worker.name])))
    await unhurried.open(other)
    runs = await asyncio.gather(*watching)
    if "SIGSTOP" in blows:
        await wakes_up_and_does_no_harm(unhurried, workers[1], runs[1], other)


async def wakes_up_and_does_no_harm(
    deployment: Deployment, worker: WorkerProcess, run: Run, other: WorkerProcess
) -> None:
    """A worker that goes on in the middle of the replace finds that the run is another's, and works on."""
    name = run.district_id
    after = await deployment.contents([name])
    deployment.go([name])
    worker.strike(signal.SIGCONT)
    ends = {"run_lost", "failure_after_end"}
    await until_async(lambda: ends & {event["event"] for event in worker.events()}, SECONDS)
    assert await deployment.contents([name]) == after
    await deployment.check_imported_once(await deployment.ended(run), attempt=2)
    other.strike(signal.SIGTERM)
    assert other.process.wait() == 0
    await deployment.check_imported_once(await deployment.ended(await deployment.begin(name)), attempt=1)
    assert worker.lives()


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_a_worker_cut_off_from_the_database_alone_does_not_keep_writers_out(
    unhurried: Deployment, openssh_server: OpenSshServer
) -> None:
    """It renews no lock meanwhile; once it gets through again it finds its transaction ended."""
    url = unhurried.factory.settings.database_url
    assert url is not None
    name = "cut-off"
    await unhurried.add_districts([name], openssh_server)
    before = (await unhurried.contents([name]))[name]
    async with PostgresProxy(url.get_secret_value()) as proxy:
        worker = unhurried.worker(name, CERTSYNC_DATABASE_URL=proxy.url)
        run = await replacing(unhurried, worker, "writes")
        proxy.stall()
        await let_in(unhurried, run, before)
        unhurried.go([name])
        proxy.resume()
        ended = await unhurried.ended(run)
        if ended.status is RunStatus.FAILED:  # after over 20 s it is taken up again
            assert (ended.failure_code, ended.attempt) == ("database_error", 1)
            assert (await unhurried.contents([name]))[name] == before
            ended = await unhurried.ended(await unhurried.begin(name))
        await unhurried.check_imported_once(ended, attempt=ended.attempt)
        assert worker.lives()
