"""A real `certsync up` in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.openssh import free_port
from tests.support.processes import until

SECONDS = 60


@dataclass
class Service:
    """A running instance; `http` has its base address and, after `login`, a token."""

    data_dir: Path
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)

    def certsync(self, *arguments: str) -> str:
        """Run a command of this instance and return what it printed."""
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        ).stdout

    def login(self, *arguments: str) -> None:
        token = self.certsync("token", *arguments).splitlines()[-1]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, json: Any = None, status: int = 200) -> Any:
        response = self.http.request(method, f"/api/v1{path}", json=json)
        assert response.status_code == status, response.text
        return response.json() if response.headers["content-type"] == "application/json" else response

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return bool(self.http.get("/health/ready").json()["status"] == "ready")
        except httpx.TransportError:
            return False

    def ended_run(self, run_id: str) -> Any:
        """Wait until the run has ended and its PDF is made, and return it."""

        def ended() -> Any:
            run = self.call("GET", f"/runs/{run_id}")
            return run if run["end"] and run["links"]["report_pdf"] else None

        return until(ended, SECONDS)


@contextmanager
def running_service(data_dir: Path, **variables: str) -> Iterator[Service]:
    """Start `certsync up` with embedded defaults and `variables`; it gets SIGKILL if it is still there."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CERTSYNC_")}
    environment |= {"CERTSYNC_DATA_DIR": str(data_dir)} | variables
    data_dir.mkdir(exist_ok=True)
    log = data_dir / "up.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "up", "--port", str(port)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    service = Service(data_dir, port, environment, process, log)
    try:
        until(service.is_ready, SECONDS)
        yield service
    finally:
        service.http.close()
        process.kill()
        process.wait()
