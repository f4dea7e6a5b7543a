"""`certsync serve --workers N`: several API processes on one port."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.migrations import upgrade
from app.settings import Settings
from tests.support.openssh import free_port
from tests.support.processes import ROOT, until

SECONDS = 60


class Serving:
    """The parent process, its children, and the port that they share."""

    def __init__(self, data_dir: Path, processes: int) -> None:
        self.port = free_port()
        self.log = data_dir / "serve.log"
        self.process = start(data_dir, self.port, processes, self.log)

    def children(self) -> set[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in path.read_text().split()}

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


def start(data_dir: Path, port: int, processes: int, log: Path) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CERTSYNC_")}
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--workers", str(processes)],
            cwd=ROOT,
            env=environment | {"CERTSYNC_DATA_DIR": str(data_dir)},
            stdout=output,
            stderr=output,
        )


@contextmanager
def serving(data_dir: Path, processes: int) -> Iterator[Serving]:
    upgrade(Settings(data_dir=data_dir))
    found = Serving(data_dir, processes)
    try:
        until(lambda: found.answers() and len(found.children()) == processes, SECONDS)
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def test_one_that_dies_is_started_again_and_the_others_serve_on(tmp_path: Path) -> None:
    with serving(tmp_path, 2) as api:
        before = api.children()
        victim, survivor = before
        os.kill(victim, signal.SIGKILL)
        until(lambda: api.answers() and len(api.children() - before) == 1 and survivor in api.children(), 20)
        os.kill(survivor, signal.SIGKILL)
        until(api.answers, SECONDS)  # by the new one alone, at first
        api.process.terminate()
        assert api.process.wait(20) == 0
        with socket.create_server(("127.0.0.1", api.port)):
            pass


def test_all_are_stopped_at_once(tmp_path: Path) -> None:
    """Each may take its seconds for open requests; together they take no longer than one."""
    with serving(tmp_path, 3) as api:
        for child in api.children():
            os.kill(child, signal.SIGSTOP)
        api.process.terminate()
        assert api.process.wait(10 + 9) == 0


def test_all_end_with_their_parent(tmp_path: Path) -> None:
    with serving(tmp_path, 2) as api:
        children = api.children()
        api.process.kill()
        api.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}/status").exists() for pid in children))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_port_in_use_is_told(tmp_path: Path, processes: int) -> None:
    upgrade(Settings(data_dir=tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        log = tmp_path / "serve.log"
        assert start(tmp_path, port, processes, log).wait(SECONDS) == 3
        assert "in use" in log.read_text()
