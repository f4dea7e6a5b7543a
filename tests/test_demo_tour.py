"""The demo as a newcomer runs it: with the real service, on a small world."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import pytest

from app.demo.tour import SERVICE_LOG
from tests.support.processes import ROOT, alive, until

SMALL = ("--employees", "200", "--rows", "2000")


def demo(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app.demo", "--data-dir", str(directory), *SMALL, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CERTSYNC_DATABASE_URL": "postgresql://nowhere/none"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_with(text: str) -> list[int]:
    """Return whoever has `text` in its environment or command line: the demo's service and its children."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:  # it has ended, or is not ours
            continue
        if text.encode() in said and alive(int(process.name)):
            found.append(int(process.name))
    return found


def test_it_ends_with_a_report_and_leaves_nothing_running(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    with demo(directory) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    lines = output.splitlines()
    pdf = Path(lines[-1])
    assert pdf == directory / "report.pdf"
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert {"report.json", "skipped.csv", "rejected.csv"} <= {path.name for path in directory.iterdir()}
    assert any("missing certification data" in line for line in lines)
    assert "\x1b" not in output
    assert processes_with(str(directory)) == []


@contextmanager
def kept(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a demo that has come to its end and goes on; kill it if it is still there afterwards."""
    with demo(directory, "--keep") as process:
        try:
            assert process.stdout is not None
            said = list(takewhile(lambda line: "until Ctrl-C" not in line, process.stdout))
            assert process.poll() is None, f"the demo ended, having said {said}"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_a_kept_service_goes_with_the_demo(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with kept(tmp_path / "demo") as process:
        assert len(processes_with(str(tmp_path / "demo"))) > 1
        process.send_signal(number)
        process.communicate()
    assert process.returncode == code
    until(lambda: not processes_with(str(tmp_path / "demo")))


def test_stopped_in_the_middle_it_stops_what_it_started(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    with demo(directory) as process:
        until((directory / SERVICE_LOG).exists)  # imports start processes of their own, for a moment
        until(lambda: len(processes_with(str(directory))) > 1)
        process.terminate()
        output, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "Report" not in output
    assert processes_with(str(directory)) == []


def test_when_the_service_dies_its_last_words_are_shown(tmp_path: Path) -> None:
    with kept(tmp_path / "demo") as process:
        [service] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(service), signal.SIGKILL)
        _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.startswith("The demo failed. `certsync up` ended with code -9\nThe last lines of ")
    until(lambda: not processes_with(str(tmp_path / "demo")))
