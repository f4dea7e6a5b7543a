"""`certsync up` with a real Redis and stand-ins for API and worker: start, watch, end, and being killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from app import supervisor
from app.embedded_redis import socket_path
from app.settings import Settings
from app.supervisor import ServiceFailed, wait_until_ready, where_things_are
from tests.support.processes import ROOT, alive, until
from tests.support.standins import SILENCE_LIMIT

READY = "certsync is ready."


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Up:
    """A supervisor in a process of its own, on a data directory that may have seen others before."""

    def __init__(self, data_dir: Path, port: int, worker: str) -> None:
        self.data_dir = data_dir
        self.port = port
        data_dir.mkdir(exist_ok=True)
        self.said = data_dir / f"said-{len(list(data_dir.glob('said-*')))}.txt"
        env = {name: value for name, value in os.environ.items() if not name.startswith("CERTSYNC_")}
        env |= {"CERTSYNC_DATA_DIR": str(data_dir), "STANDIN_WORKER": worker}
        with self.said.open("wb") as output:
            command = [sys.executable, "-m", "tests.support.standins", "up", str(port)]
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                env=env,
                cwd=ROOT,
                start_new_session=True,
                # These tests may run under `nohup`, which would be inherited and obeyed.
                preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509 - no thread here
            )

    @property
    def text(self) -> str:
        return self.said.read_text()

    @property
    def events(self) -> list[str]:
        path = self.data_dir / "events.txt"
        return path.read_text().splitlines() if path.exists() else []

    def pids(self, name: str) -> list[int]:
        """All process ids that a stand-in has had, oldest first."""
        return [
            int(pid)
            for who, _, pid in (line.partition(" ") for line in self.events)
            if who == name and pid.isdigit()
        ]

    def redis_pid(self) -> int:
        """Process id of the latest embedded server, from its log."""
        lines = (self.data_dir / "logs" / "redis.log").read_text().splitlines()
        return int(next(line for line in reversed(lines) if "Ready to accept" in line).partition(":")[0])

    def children(self) -> list[int]:
        return [self.pids("worker")[-1], self.pids("api")[-1], self.redis_pid()]

    def until_ready(self) -> "Up":
        until(lambda: READY in self.text or self.process.poll() is not None)
        assert READY in self.text, self.text
        self.until_workers(1)
        return self

    def until_workers(self, count: int) -> None:
        until(lambda: len(self.pids("worker")) >= count)

    def end(self) -> int:
        return self.process.wait(timeout=20)


StartUp = Callable[..., Up]


@pytest.fixture
def start_up(tmp_path: Path) -> Iterator[StartUp]:
    started: list[Up] = []

    def start(name: str = "var", port: int | None = None, worker: str = "good") -> Up:
        started.append(Up(tmp_path / name, port or unused_port(), worker))
        return started[-1]

    yield start
    for up in started:
        if up.process.poll() is None:
            up.process.kill()
            up.end()
        shutil.rmtree(socket_path(up.data_dir).parent, ignore_errors=True)  # may be outside of tmp_path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_worker_then_api_then_redis(start_up: StartUp, number: signal.Signals) -> None:
    up = start_up().until_ready()
    children = up.children()
    up.process.send_signal(number)
    assert up.end() == 0
    assert up.events[0] == "migrate"
    assert up.events[-2:] == ["worker ends, Redis answers: True", "api ends, Redis answers: True"]
    assert not any(alive(pid) for pid in children)
    assert not (up.data_dir / "redis" / "redis.sock").exists()


def test_signal_before_it_is_ready_ends_what_was_started(start_up: StartUp) -> None:
    up = start_up()
    until(lambda: up.pids("worker"))
    children = [up.pids("worker")[-1], up.redis_pid()]
    up.process.terminate()
    assert up.end() == 0
    assert not any(alive(pid) for pid in children)


async def test_it_gives_up_when_it_never_gets_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "READY_LIMIT", 0.2)
    with pytest.raises(ServiceFailed, match=r"/health/ready says: no answer"):
        await wait_until_ready("127.0.0.1", unused_port())


def test_no_password_is_printed() -> None:
    settings = Settings(
        database_url=SecretStr("postgresql://ann:hush@db.example/certs?password=hush"),
        redis_url=SecretStr("redis://:hush@queue.example:6380/0"),
    )
    text = where_things_are(settings, "::", 8000, None)
    assert "hush" not in text
    assert "db.example/certs" in text
    assert "queue.example:6380" in text
    assert "http://[::1]:8000/docs" in text


def test_what_it_runs_does_not_get_the_owners_password(tmp_path: Path) -> None:
    given: dict[str, str] = {}

    def note(_host: str, _port: int, env: Mapping[str, str]) -> list[supervisor.Service]:
        given.update(env)
        raise ServiceFailed("that is all")

    settings = Settings(data_dir=tmp_path, redis_url=SecretStr("redis://127.0.0.1:1/0"))
    assert supervisor.run_up(settings, "127.0.0.1", 0, lambda _: None, note) == 1
    for name in ("CERTSYNC_MIGRATION_DATABASE_URL", "CERTSYNC_MIGRATION_DATABASE_URL_FILE"):
        assert given[name] == "", "empty is as not given"


def test_it_says_where_things_are(start_up: StartUp) -> None:
    up = start_up("with space").until_ready()
    assert f"http://127.0.0.1:{up.port}/api/v1" in up.text
    assert f"SQLite, {up.data_dir}/certsync.db" in up.text
    assert f"{up.data_dir}/redis/redis.sock" in up.text


def test_children_share_the_session_but_not_the_process_group(start_up: StartUp) -> None:
    up = start_up().until_ready()
    for pid in up.children():
        assert os.getsid(pid) == up.process.pid
        assert os.getpgid(pid) == pid


@pytest.mark.parametrize("name", ["var", "x" * 110])
def test_kill_ends_all_children_and_the_next_start_works_at_once(start_up: StartUp, name: str) -> None:
    first = start_up(name, worker="stubborn").until_ready()
    children = first.children()
    first.process.kill()
    second = start_up(name, port=first.port).until_ready()
    until(lambda: not any(alive(pid) for pid in children))
    second.process.terminate()
    assert second.end() == 0


def test_second_instance_is_refused_and_the_first_goes_on(start_up: StartUp) -> None:
    first = start_up().until_ready()
    second = start_up()
    assert second.end() == 1
    assert f"(process {first.process.pid})" in second.text
    assert all(alive(pid) for pid in first.children())


def test_taken_port_is_refused_before_anything_is_started(start_up: StartUp) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        up = start_up(port=port)
        assert up.end() == 1
    assert f"Port {port} " in up.text
    assert "--port" in up.text
    assert up.events == []
    assert not (up.data_dir / "redis").exists()


def test_dead_worker_is_replaced(start_up: StartUp) -> None:
    up = start_up().until_ready()
    for count in (2, 3):
        os.kill(up.pids("worker")[-1], signal.SIGKILL)
        up.until_workers(count)
    up.process.terminate()
    assert up.end() == 0
    assert up.events[-2].startswith("worker ends")
    assert not alive(up.pids("worker")[-1])


def test_stopped_worker_is_replaced_and_the_others_go_on(start_up: StartUp) -> None:
    up = start_up().until_ready()
    stopped, *others = up.children()
    until(lambda: f"signs {stopped}" in up.events)
    os.kill(stopped, signal.SIGSTOP)
    up.until_workers(2)
    assert not alive(stopped)
    assert up.children() == [up.pids("worker")[-1], *others]
    assert all(alive(pid) for pid in up.children())
    silent = next(line for line in up.text.splitlines() if "service_silent" in line)
    assert "worker" in silent
    assert str(stopped) in silent
    assert f"{SILENCE_LIMIT:.1f}" in silent
    up.process.terminate()
    assert up.end() == 0
    assert up.events[-2].startswith("worker ends")


def test_worker_that_keeps_dying_ends_everything(start_up: StartUp) -> None:
    up = start_up(worker="broken")
    assert up.end() == 1
    assert len(up.pids("worker")) == 4
    assert "the worker service ended with exit code 3" in up.text
    assert not any(alive(pid) for pid in up.children())


@pytest.mark.parametrize(
    ("victim", "message"),
    [
        (1, "the api service was ended by signal SIGKILL"),
        (2, "the redis service was ended by signal SIGKILL. Its log ends with:\n"),
    ],
)
def test_death_of_api_or_redis_ends_everything(start_up: StartUp, victim: int, message: str) -> None:
    up = start_up(worker="good").until_ready()
    children = up.children()
    os.kill(children[victim], signal.SIGKILL)
    assert up.end() == 1
    assert message in up.text
    assert not any(alive(pid) for pid in children)


def test_second_signal_does_not_wait_for_a_stubborn_worker(start_up: StartUp) -> None:
    up = start_up(worker="stubborn").until_ready()
    children = up.children()
    up.process.send_signal(signal.SIGINT)
    until(lambda: "Ctrl-C again" in up.text)
    assert all(alive(pid) for pid in children)
    up.process.send_signal(signal.SIGINT)
    assert up.end() == 0
    assert up.events[-1] == "api ends, Redis answers: True"
    assert not any(alive(pid) for pid in children)
