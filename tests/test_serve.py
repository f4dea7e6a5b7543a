"""`certsync serve --workers N`: several API processes on one port."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from app.constants import EVERY_DISTRICT, Role
from app.crypto import load_signing_key
from app.migrations import upgrade
from app.services.tokens import issue_token
from app.settings import Settings
from tests.support.openssh import free_port
from tests.support.processes import ROOT, children_of, until

SECONDS = 60
COUNTED = "certsync_http_request_duration_seconds_count"


class Serving:
    """The parent process, its children, and the port that they share."""

    def __init__(self, data_dir: Path, processes: int) -> None:
        self.port = free_port()
        self.log = data_dir / "serve.log"
        key = load_signing_key(Settings(data_dir=data_dir))
        self.token = issue_token(key, "prometheus", Role.OPS, EVERY_DISTRICT, timedelta(hours=1))
        self.process = start(data_dir, self.port, processes, self.log)

    def children(self) -> set[int]:
        return children_of(self.process.pid)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def requests(self) -> float:
        """How many requests were answered, by the metrics of whichever process this one meets."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"http://127.0.0.1:{self.port}/metrics"
        text = httpx.get(url, trust_env=False, headers=headers).raise_for_status().text
        lines = (line for line in text.splitlines() if line.startswith(COUNTED))
        return sum(float(line.rpartition(" ")[2]) for line in lines)


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
        asked = 20
        for _ in range(asked):
            assert api.answers()
        assert all(api.requests() >= asked for _ in range(4)), "whichever answers, it tells of both"
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
