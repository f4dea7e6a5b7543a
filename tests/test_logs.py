"""How log lines look, and what they keep to themselves."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import structlog
from structlog.contextvars import merge_contextvars

from app.models import Run
from app.telemetry import about, origin
from tests.support.processes import ROOT
from tests.support.runs import waiting_run

SPEAK = """
import logging, structlog
from app.logs import configure_logging
from app.settings import Settings
configure_logging(Settings())
structlog.get_logger("app.speaker").debug("of ours", number=7)
logging.getLogger("a.library").info("LaFountain wants in")
logging.getLogger("uvicorn.error").info("started")
try:
    raise ValueError("LaFountain is refused") from KeyError("NR-100001")
except ValueError as error:
    logging.getLogger("a.library").exception("it failed")
    structlog.get_logger("app.speaker").exception("ours failed")
"""


def speak(**environment: str) -> list[str]:
    """The lines of a process that logs, with its standard error a pipe."""
    command = [sys.executable, "-c", SPEAK]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()


def test_json_where_nobody_reads() -> None:
    lines = [json.loads(line) for line in speak(CERTSYNC_LOG_LEVEL="DEBUG")]
    assert [line["event"] for line in lines] == ["of ours", "started", "it failed", "ours failed"]
    assert (lines[0]["number"], lines[0]["level"]) == (7, "debug")
    assert datetime.fromisoformat(lines[0]["timestamp"]).tzinfo == UTC


def test_an_exception_is_told_by_kinds_and_places_alone() -> None:
    for line in map(json.loads, speak()[-2:]):
        assert line["error"] == "ValueError"
        assert "KeyError" in line["trace"]
        assert 'File "<string>"' in line["trace"]
        assert "LaFountain" not in str(line)
        assert "NR-100001" not in str(line)


def test_the_level_is_for_our_lines_and_never_makes_libraries_talk() -> None:
    assert [json.loads(line)["event"] for line in speak(CERTSYNC_LOG_LEVEL="ERROR")] == [
        "it failed",
        "ours failed",
    ]
    assert "LaFountain" not in "".join(speak(CERTSYNC_LOG_LEVEL="DEBUG"))


def test_readable_lines_when_they_are_asked_for() -> None:
    first = speak(CERTSYNC_LOG_LEVEL="DEBUG", CERTSYNC_LOG_FORMAT="console")[0]
    assert "of ours" in first
    assert "number=7" in first
    assert "\x1b" not in first


@pytest.mark.parametrize(("form", "begin"), [("auto", "\x1b"), ("json", "{")])
def test_a_terminal_gets_readable_lines_unless_json_is_asked_for(form: str, begin: str) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"CERTSYNC_LOG_LEVEL": "DEBUG", "CERTSYNC_LOG_FORMAT": form}
    subprocess.run([sys.executable, "-c", SPEAK], cwd=ROOT, env=environment, stderr=theirs, check=True)
    os.close(theirs)
    assert os.read(ours, 100).decode().startswith(begin)
    os.close(ours)


def told(run: Run) -> dict[str, Any]:
    return {"run_id": str(run.id), "district": run.district_id, "request_id": run.request_id}


async def test_tasks_and_threads_of_a_run_have_its_ids() -> None:
    run = waiting_run(id=uuid4(), request_id="r-1")
    log = structlog.get_logger()

    async def child() -> None:
        log.info("child")
        await asyncio.to_thread(log.info, "thread")

    with structlog.testing.capture_logs(processors=[merge_contextvars]) as events:
        with about(run):
            task = asyncio.create_task(child())
        await task
        log.info("after")
    common = {"log_level": "info"}
    assert events == [
        {"event": "child"} | told(run) | common,
        {"event": "thread"} | told(run) | common,
        {"event": "after"} | common,
    ]


def test_a_run_that_no_request_started_has_no_request_id() -> None:
    assert origin() == {"request_id": None, "traceparent": None}
    with structlog.contextvars.bound_contextvars(request_id="r-2"):
        assert origin() == {"request_id": "r-2", "traceparent": None}
    run = waiting_run(id=uuid4())
    with about(run):
        assert structlog.contextvars.get_contextvars() == {"run_id": str(run.id), "district": run.district_id}
