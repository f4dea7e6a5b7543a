"""A real `certsync serve` in processes of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx

from app.constants import EVERY_DISTRICT, Role
from app.crypto import load_signing_key
from app.services.tokens import issue_token
from app.settings import Settings
from tests.support.openssh import free_port
from tests.support.processes import ROOT, children_of, until

STARTS = 60
"""Seconds for a start."""
COUNTED = "certsync_http_request_duration_seconds_count"


class Serving:
    """The parent process, its children, and the port that they share."""

    def __init__(self, data_dir: Path, processes: int, variables: dict[str, str]) -> None:
        self.port = free_port()
        self.log = data_dir / "serve.log"
        self.key = load_signing_key(Settings(data_dir=data_dir))
        self.token = issue_token(self.key, "prometheus", Role.OPS, EVERY_DISTRICT, timedelta(hours=1))
        self.process = start(data_dir, self.port, processes, self.log, **variables)

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


def start(data_dir: Path, port: int, processes: int, log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start it, with `variables` in its environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CERTSYNC_")}
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--workers", str(processes)],
            cwd=ROOT,
            env=environment | {"CERTSYNC_DATA_DIR": str(data_dir)} | variables,
            stdout=output,
            stderr=output,
        )


@contextmanager
def serving(data_dir: Path, processes: int, **variables: str) -> Iterator[Serving]:
    """Yield it once it is ready, on a database of the present schema."""
    found = Serving(data_dir, processes, variables)
    try:
        until(lambda: found.answers() and len(found.children()) == processes, STARTS)
        yield found
    finally:
        found.process.kill()
        found.process.wait()
