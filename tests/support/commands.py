"""The console script, run as users run it: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path


def certsync(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a data directory; of our own environment only what is not certsync's counts."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CERTSYNC_")}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=inherited | {"CERTSYNC_DATA_DIR": str(data_dir), "COLUMNS": "120"} | environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def succeeded(result: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed that had to succeed."""
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(result: subprocess.CompletedProcess[str], *told: str) -> None:
    """Fail unless a command ended with exit code 1 and a message that has these texts."""
    assert result.returncode == 1
    last = "\n".join(line for line in result.stderr.splitlines() if not line.startswith("{"))
    assert last.startswith("certsync: "), last
    assert "Traceback" not in result.stderr
    for text in told:
        assert text in last, last
