"""How soon all is well after a worker was struck in the middle of the replace, with the limits as shipped."""

import asyncio
import signal
import time
from contextlib import AsyncExitStack

import pytest
import structlog

from app.models import Run
from tests.support.openssh import OpenSshServer
from tests.support.recovery import POLL, SECONDS, Contents, Deployment, WorkerProcess
from tests.support.stalling_proxy import StallingProxy

WRITERS_WAIT = 30
RUN_WAITS = 60
"""Seconds at most until writers are let in and until the run is taken up (I6)."""
DISTRICTS = {"killed": "deletes", "stopped": "commit", "cut-off": "deletes"}
"""What happens to the worker of each district, and the point in the replace where it does."""
log = structlog.get_logger()

# arq 0.28 closes its connection by a name that redis 5.3 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


@pytest.mark.parametrize(
    ("settings", "names"),
    [("sqlite", ["killed"]), ("postgresql", list(DISTRICTS))],
    indirect=["settings"],
    ids=["sqlite", "postgresql"],
)
async def test_writers_and_the_run_go_on_within_the_limits(
    unhurried: Deployment, openssh_server: OpenSshServer, names: list[str]
) -> None:
    async with AsyncExitStack() as stack:
        await unhurried.add_districts(names, openssh_server)
        through: dict[str, dict[str, str]] = {}
        if url := unhurried.factory.settings.database_url:
            proxy = await stack.enter_async_context(StallingProxy(url.get_secret_value()))
            through["cut-off"] = {"CERTSYNC_DATABASE_URL": proxy.url}
        workers = [unhurried.worker(name, runs_at_once=1, **through.get(name, {})) for name in names]
        other = unhurried.worker("other")
        watching = []
        for name, worker in zip(names, workers, strict=True):
            before = (await unhurried.contents([name]))[name]
            await unhurried.open(worker)
            run = await unhurried.halt(name, DISTRICTS[name])
            assert not await unhurried.lets_in(name)
            if name == "cut-off":
                proxy.stall()
            else:
                worker.strike(signal.SIGKILL if name == "killed" else signal.SIGSTOP)
            watching.append(asyncio.create_task(watch(unhurried, run, before)))
        await unhurried.open(other)
        runs = await asyncio.gather(*watching)
        if len(names) > 1:
            proxy.resume()
            workers[1].strike(signal.SIGCONT)
            await sleepers_do_no_harm(unhurried, runs[1:], workers[1:], other)


async def watch(deployment: Deployment, run: Run, before: Contents) -> Run:
    """Wait until writers are let in, and for the run."""
    struck, name = time.monotonic(), run.district_id
    await deployment.until_it_lets_in(name, WRITERS_WAIT)
    log.info("writers_let_in", district=name, seconds=round(time.monotonic() - struck, 1))
    assert await deployment.factory.editing.holder(name) is None
    assert (await deployment.contents([name]))[name] == before
    ended = await deployment.ended(run, seconds=RUN_WAITS - (time.monotonic() - struck))
    log.info("run_over", district=name, seconds=round(time.monotonic() - struck, 1))
    await deployment.check_imported_once(ended, attempt=2)
    return ended


async def sleepers_do_no_harm(
    deployment: Deployment, runs: list[Run], workers: list[WorkerProcess], other: WorkerProcess
) -> None:
    """Workers that wake up find that their run is another's, and work on."""
    names = [run.district_id for run in runs]
    after = await deployment.contents(names)
    deployment.go(names)
    async with asyncio.timeout(SECONDS):
        for worker in workers:
            while not {"run_lost", "failure_after_end"} & {event["event"] for event in worker.events()}:
                await asyncio.sleep(POLL)
    assert await deployment.contents(names) == after
    for run in runs:
        await deployment.check_imported_once(await deployment.ended(run), attempt=2)
    other.strike(signal.SIGTERM)
    assert other.process.wait() == 0
    for name in names:
        await deployment.check_imported_once(
            await deployment.ended(await deployment.begin(name)), attempt=1
        )
    assert all(worker.lives() for worker in workers)
