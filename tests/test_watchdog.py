"""A child that is stopped, or whose event loop does not run, is killed; one that is slow or asleep is not."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app import watchdog
from app.database import Database, try_guard
from app.errors import ServiceUnavailableError
from app.settings import Settings
from app.watchdog import SIGNS_FD, WatchedChild, signs_of_life, start_watched
from tests.support.processes import ROOT, alive, children_of, command_of, until, until_async
from tests.support.service import SECONDS, Service, running_service
from tests.support.standins import DISTRICT, LATE, SILENCE_LIMIT

WORKER = (sys.executable, "-m", "tests.support.standins", "worker")


class Watched:
    """A stand-in worker and the task that waits for its end."""

    def __init__(self, child: WatchedChild, data_dir: Path) -> None:
        self.child = child
        self.end = asyncio.create_task(child.wait())
        self._events = data_dir / "events.txt"

    async def said(self, what: str) -> None:
        line = f"{what} {self.child.pid}"
        await until_async(lambda: self._events.exists() and line in self._events.read_text().splitlines())

    async def killed(self, limit: float) -> bool:
        """Wait for the end, at most so many seconds, and tell whether it came to a kill."""
        await asyncio.wait([self.end], timeout=limit)
        return self.end.done() and self.end.result() == -signal.SIGKILL


Start = Callable[..., Awaitable[Watched]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Watched] = []

    async def start(mode: str, env: dict[str, str] | None = None, **limits: Any) -> Watched:
        ours = {"CERTSYNC_DATA_DIR": str(tmp_path), "STANDIN_WORKER": mode, "PYTHONPATH": str(ROOT)}
        started.append(
            Watched(await start_watched("worker", WORKER, env={**ours, **(env or {})}, **limits), tmp_path)
        )
        return started[-1]

    yield start
    for watched in started:
        watched.child.kill()
        await watched.end


async def test_child_whose_event_loop_does_not_run_is_killed(start: Start) -> None:
    before = open_descriptors()
    watched = await start("stuck", silence_limit=3)
    await watched.said("signs")
    assert await watched.killed(SECONDS)
    assert open_descriptors() == before


async def test_child_that_gives_signs_is_left_alone_even_if_the_first_was_late(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LOOK_INTERVAL", 0.25)  # most looks find nothing
    began = time.monotonic()
    watched = await start("slow", silence_limit=SILENCE_LIMIT)
    await watched.said("signs")
    assert time.monotonic() - began > LATE > SILENCE_LIMIT
    assert not await watched.killed(SILENCE_LIMIT + 2)


async def test_child_that_never_gives_a_sign_is_killed_in_the_end(start: Start) -> None:
    began = time.monotonic()
    watched = await start("slow", silence_limit=1, first_sign_limit=3)
    assert await watched.killed(LATE)
    assert time.monotonic() - began > 3


async def test_machine_that_slept_is_no_reason_to_kill(start: Start) -> None:
    watched = await start("good", silence_limit=SILENCE_LIMIT)
    await until_async(lambda: watched.child._limit == SILENCE_LIMIT)  # the first sign was heard
    os.kill(watched.child.pid, signal.SIGSTOP)
    time.sleep(SILENCE_LIMIT + 2)  # noqa: ASYNC251 - nobody looks while the machine sleeps
    await turns()  # the first look, before the child had a turn
    os.kill(watched.child.pid, signal.SIGCONT)
    assert not await watched.killed(2)


async def test_stopped_child_is_killed_while_it_is_asked_to_end(start: Start) -> None:
    watched = await start("good", silence_limit=3)
    await watched.said("signs")
    os.kill(watched.child.pid, signal.SIGSTOP)
    async with asyncio.timeout(SECONDS):
        assert await watched.child.stop(limit=2 * SECONDS) == -signal.SIGKILL


async def test_loop_goes_on_when_nobody_reads_its_signs_or_everybody_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "SIGN_INTERVAL", 0)
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    os.write(writing, b"." * (1 << 16))
    monkeypatch.setenv(SIGNS_FD, str(writing))
    async with signs_of_life():
        assert SIGNS_FD not in os.environ
        assert not os.get_inheritable(writing)
        await turns()
        assert os.read(reading, 1 << 17) == b"." * (1 << 16)
        await turns()
        assert os.read(reading, 1 << 17)
        os.close(reading)
        await turns()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writing)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def turns() -> None:
    """Give every task of the loop several turns."""
    for _ in range(9):
        await asyncio.sleep(0)


async def test_writers_get_through_when_a_worker_was_stopped_with_the_guard_held(
    start: Start, settings: Settings
) -> None:
    url = settings.database_url
    watched = await start("holding", {"CERTSYNC_DATABASE_URL": url.get_secret_value()} if url else None)
    await watched.said("holds")
    async with open_database(settings) as database:
        assert not await writes(database)
        await until_async(lambda: writes(database), 30)


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings)
    yield database
    await database.close()


async def writes(database: Database) -> bool:
    try:
        async with database.write() as session:
            return await try_guard(await session.connection(), DISTRICT)
    except ServiceUnavailableError:
        return False


def workers(service: Service) -> list[int]:
    """The worker processes among the children of `certsync up`."""
    return [child for child in children_of(service.process.pid) if command_of(child)[-1:] == [b"worker"]]


def test_a_run_is_executed_though_the_worker_was_stopped(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        service.login("--user", "kmarsh", "--role", "admin")
        task = {"description": "Nightly licences", "status": "inactive"}
        task_id = service.call("POST", "/tasks", task, 201)["id"]
        [stopped] = workers(service)
        os.kill(stopped, signal.SIGSTOP)
        run_id = service.call("POST", f"/tasks/{task_id}/run", status=202)["id"]
        run = until(lambda: ended(service, run_id), SECONDS)
        assert run["failure"]["code"] == "sftp_not_configured"
        assert not alive(stopped)
        assert len(workers(service)) == 1
        assert service.is_ready()
    assert service.log.read_text().count("service_silent") == 1


def ended(service: Service, run_id: str) -> dict[str, dict[str, str]] | None:
    run: dict[str, dict[str, str]] = service.call("GET", f"/runs/{run_id}")
    return run if run["end"] else None
