"""`certsync serve --workers N`: several API processes on one port."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from app.migrations import upgrade
from app.settings import Settings
from tests.support.processes import alive, until
from tests.support.raw_http import Raw
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


def test_a_request_begins_without_what_the_one_before_it_has_set(data_dir: Path) -> None:
    """Requests that are sent at once are served one inside the other's task by uvicorn's own default."""
    with serving(data_dir, 2, CERTSYNC_LOG_FORMAT="json", CERTSYNC_LOG_LEVEL="DEBUG") as api:
        sent = [
            f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
            for token in (api.token, "nonsense")
        ]
        with Raw(api.port) as raw:
            raw.send("".join(sent) + "GET /gone HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert [answer.status for answer in raw.answers()] == [200, 401, 404]
        until(lambda: '"status":404' in api.log.read_text().replace(" ", ""), STARTS)
    lines = [json.loads(line) for line in api.log.read_text().splitlines() if line.startswith("{")]
    seen = {(line["route"], line["status"]): line for line in lines if line.get("event") == "request"}
    assert seen["/metrics", 200]["user"] == "prometheus"
    assert not {"user", "district"} & (seen["/metrics", 401].keys() | seen[None, 404].keys())
