"""A worker in a process of its own: strike it, and read what it logged."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.settings import Settings
from tests.support.processes import ROOT


@dataclass
class WorkerProcess:
    """A worker that is ready to begin; see `tests/support/halting_worker.py`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def strike(self, blow: signal.Signals) -> None:
        os.kill(self.process.pid, blow)

    def events(self) -> list[dict[str, Any]]:
        """What it logged; after a kill the last line may be half a one."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def lives(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """Kill it, stopped or not, and whatever it forked."""
        if self.lives():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start_worker(name: str, settings: Settings, environment: Mapping[str, str]) -> WorkerProcess:
    """Start a worker of an instance; `environment` is what it gets besides the instance's settings."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("CERTSYNC_")}
    variables["CERTSYNC_DATA_DIR"] = str(settings.data_dir)
    if settings.database_url:
        variables["CERTSYNC_DATABASE_URL"] = settings.database_url.get_secret_value()
    log = settings.data_dir / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.halting_worker", name],
            cwd=ROOT,
            env={**variables, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return WorkerProcess(name, process, log)
