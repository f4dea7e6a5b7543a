"""The demo as a newcomer runs it: with the real service, on a small world."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_is_stopped_the_service_goes_with_it(tmp_path: Path, number: signal.Signals) -> None:
    directory = tmp_path / "demo"
    with demo(directory, "--keep") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        assert len(processes_with(str(directory))) > 1
        process.send_signal(number)
        process.communicate()
    assert process.returncode == {signal.SIGINT: 0, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    until(lambda: not processes_with(str(directory)))
