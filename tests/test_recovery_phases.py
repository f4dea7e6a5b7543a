"""A worker is struck with runs of several districts in every phase; another one sees to them (I5, I6)."""

import signal

import pytest

from app.services.run_execution import MAX_ATTEMPTS
from tests.support.halting_worker import BEFORE_COMMIT, POINTS
from tests.support.openssh import OpenSshServer
from tests.support.recovery import Deployment

# arq 0.28 closes its connection by a name that redis 5.3 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to stop"])
async def test_a_worker_that_ends_in_any_phase_leaves_its_runs_to_the_next(
    hasty: Deployment, openssh_server: OpenSshServer, blow: signal.Signals
) -> None:
    """A kill is an attempt, an orderly stop is none."""
    rounds = hasty.rounds()
    workers = [hasty.worker(f"worker {number}") for number in range(len(rounds) + 1)]
    await hasty.add_districts(POINTS, openssh_server)
    await hasty.open(workers[0])
    for points, worker, other in zip(rounds, workers, workers[1:], strict=False):
        old = await hasty.contents(points)
        runs = await hasty.halt_all(points)
        await hasty.open(other)
        before = await hasty.contents(points)
        for point in points:
            assert (before[point] == old[point]) == (point in BEFORE_COMMIT), point
        worker.strike(blow)
        if blow is signal.SIGKILL:
            assert worker.process.wait() == -blow
            assert await hasty.contents(points) == before
        for point, run in zip(points, runs, strict=True):
            killed = blow is signal.SIGKILL and point in BEFORE_COMMIT
            await hasty.check_imported_once(await hasty.ended(run), attempt=2 if killed else 1)
            assert hasty.said("run_started", run) == (2 if point in BEFORE_COMMIT else 1), point
        assert worker.process.wait() == (-blow if blow is signal.SIGKILL else 0)


async def test_a_run_that_takes_every_worker_down_is_ended(
    hasty: Deployment, openssh_server: OpenSshServer
) -> None:
    await hasty.add_districts(["deadly"], openssh_server)
    (hasty.halts / "deadly.dies").write_text("parse")
    worker = hasty.worker("worker", stale=1)
    await hasty.open(worker)
    before = await hasty.contents(["deadly"])
    run = await hasty.ended(await hasty.begin("deadly"))
    assert (run.failure_code, run.attempt) == ("worker_lost", MAX_ATTEMPTS + 1)
    assert hasty.said("run_started", run) == run.attempt
    assert await hasty.contents(["deadly"]) == before
    await hasty.until_it_lets_in("deadly", 5)
