"""`certsync serve --workers N`: several API processes on one port."""

import os
import signal
import socket
from pathlib import Path

import pytest

from app.migrations import upgrade
from app.settings import Settings
from tests.support.processes import alive, until
from tests.support.serving import STARTS, serving, start


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Of an instance with a database."""
    upgrade(Settings(data_dir=tmp_path))
    return tmp_path


def test_one_that_dies_is_started_again_and_the_others_serve_on(data_dir: Path) -> None:
    with serving(data_dir, 2) as api:
        before = api.children()
        victim, survivor = before
        os.kill(victim, signal.SIGKILL)
        until(lambda: api.answers() and len(api.children() - before) == 1 and survivor in api.children(), 20)
        asked = 20
        for _ in range(asked):
            assert api.answers()
        assert all(api.requests() >= asked for _ in range(4)), "whichever answers, it tells of both"
        os.kill(survivor, signal.SIGKILL)
        until(api.answers, STARTS)  # by the new one alone, at first
        api.process.terminate()
        assert api.process.wait(20) == 0
        with socket.create_server(("127.0.0.1", api.port)):
            pass


def test_all_are_stopped_at_once(data_dir: Path) -> None:
    """Each may take its seconds for open requests; together they take no longer than one."""
    with serving(data_dir, 3) as api:
        for child in api.children():
            os.kill(child, signal.SIGSTOP)
        api.process.terminate()
        assert api.process.wait(10 + 9) == 0


def test_all_end_with_their_parent(data_dir: Path) -> None:
    with serving(data_dir, 2) as api:
        children = api.children()
        api.process.kill()
        api.process.wait()
        until(lambda: not any(alive(pid) for pid in children))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_port_in_use_is_told(data_dir: Path, processes: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        log = data_dir / "serve.log"
        assert start(data_dir, port, processes, log).wait(STARTS) == 3
        assert "in use" in log.read_text()
