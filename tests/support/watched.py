"""A whole service in processes of its own, of which everything is kept that it says, stores or sends."""

import os
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.support.openssh import free_port
from tests.support.postgres import PostgresCluster
from tests.support.processes import children_of, command_of, until

SECONDS = 60
STRANGE = {500, 503}
"""What the API answers to what it did not expect."""


@dataclass
class Watched(ABC):
    """What the two kinds of deployment share; `variables` are the settings of its processes."""

    directory: Path
    variables: dict[str, str]
    today: date = date(2026, 11, 20)
    known: str = ""
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)
    printed: list[bytes] = field(default_factory=list)
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)
        self.data_dir = self.directory / "data"
        self.working_directory = self.directory / "cwd"
        self.working_directory.mkdir()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("CERTSYNC_", "OTEL_"))}
        # The stacks of a crash are printed as well.
        self.environment = kept | self.variables | {"PYTHONFAULTHANDLER": "1"}
        self.environment |= {"CERTSYNC_DATA_DIR": str(self.data_dir), "CERTSYNC_LOG_LEVEL": "DEBUG"}

    def certsync(self, *arguments: str) -> str:
        """Run a command and return what it printed."""
        ended = subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            env=self.environment,
            cwd=self.working_directory,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        if arguments[0] != "token":
            self.printed.append(ended.stdout)
        self.printed.append(ended.stderr)
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout.decode()

    def start(self, name: str, *arguments: str) -> None:
        """Start a process, whose log goes on from the last one of this name."""
        with (self.directory / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "app.cli", name, *arguments],
                env=self.environment,
                cwd=self.working_directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @abstractmethod
    def start_all(self) -> None:
        """Start what the deployment is made of."""

    @abstractmethod
    def pid(self, name: str) -> int:
        """The process that is the API (`serve`) or the worker; started again if it ended."""

    def replaced(self, name: str, victim: int) -> bool:
        """Tell whether another process has taken the place of one that died."""
        return self.pid(name) not in (0, victim)

    @contextmanager
    def without_table(self, name: str) -> Iterator[None]:
        """Take a table away while the body runs."""
        self.execute(f"ALTER TABLE {name} RENAME TO gone")
        yield
        self.execute(f"ALTER TABLE gone RENAME TO {name}")

    @abstractmethod
    def execute(self, statement: str) -> None:
        """Run a statement on the deployment's database."""

    @abstractmethod
    def without_database(self) -> AbstractContextManager[None]:
        """Keep the deployment from its database while the body runs."""

    def is_ready(self) -> bool:
        try:
            return bool(self.http.get("/health/ready").json()["status"] == "ready")
        except httpx.TransportError:
            return False

    def until_ready(self) -> None:
        until(self.is_ready, SECONDS, every=0.25, what=f"{self.directory} is ready")

    def login(self) -> str:
        token = self.certsync("token", "--user", "u-17", "--role", "admin").splitlines()[-1]
        self.http.headers["Authorization"] = f"Bearer {token}"
        return token

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the API and keep what it answers."""
        response = self.http.request(method, f"/api/v1{path}", **options)
        self.answers.append(response.content)
        self.headers.append(repr(response.headers.raw).encode())
        return response

    def call(self, method: str, path: str, json: Any = None, status: int = 200) -> Any:
        response = self.ask(method, path, json=json)
        expected = STRANGE if status in STRANGE else {status}
        if status == 200 and method == "PUT":
            expected = {200, 201}
        assert response.status_code in expected, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.headers["content-type"] == "application/json" else response

    def ended_run(self, run_id: str) -> Any:
        """Wait until the run has ended and its PDF is made, and return it."""

        def ended() -> Any:
            run = self.call("GET", f"/runs/{run_id}")
            return run if run["end"] and run["links"]["report_pdf"] else None

        # In production requests are counted: to ask as often as one can would use up the minute.
        return until(ended, SECONDS, every=0.25, what="the run's end")

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(SECONDS)
        self.http.close()

    def places(self) -> dict[str, bytes]:
        """Everything that was said or is stored, by where it is."""
        logs = {path.name: path.read_bytes() for path in self.directory.glob("*.log")}
        files = {
            f"data/{path.relative_to(self.data_dir)}": path.read_bytes()
            for path in self.data_dir.rglob("*")
            if path.is_file() and "keys" not in path.parts
        }
        said = {"answers": self.answers, "headers": self.headers, "commands": self.printed}
        return {**logs, **files, **{name: b"\n".join(texts) for name, texts in said.items()}}


class OnServers(Watched):
    """API and worker on a PostgreSQL and a Redis with passwords, in production."""

    cluster: PostgresCluster
    database: str

    def start_all(self) -> None:
        self.start("serve", "--port", str(self.port))
        self.start("worker")

    def pid(self, name: str) -> int:
        if self.processes[name].poll() is not None:
            self.start(name, *(("--port", str(self.port)) if name == "serve" else ()))
        return self.processes[name].pid

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def without_database(self) -> Iterator[None]:
        self.cluster.crash()
        yield
        self.cluster.start()

    def tables(self) -> dict[str, bytes]:
        """Every row of every table."""
        with psycopg.connect(self.database) as connection:
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            found = {}
            for (name,) in names:
                with connection.cursor().copy(f"COPY {name} TO STDOUT".encode()) as copy:
                    found[f"table {name}"] = b"".join(bytes(block) for block in copy)
        return found

    def places(self) -> dict[str, bytes]:
        home = self.cluster.directory
        wal = b"".join(
            path.read_bytes().rstrip(b"\0") for path in (home / "data" / "pg_wal").iterdir() if path.is_file()
        )
        server = {"pg_wal": wal, "log of PostgreSQL": (home / "log").read_bytes()}
        return super().places() | self.tables() | server


class OnOneMachine(Watched):
    """`certsync up`, on SQLite and the embedded Redis."""

    def start_all(self) -> None:
        self.start("up", "--port", str(self.port))

    def pid(self, name: str) -> int:
        if self.processes["up"].poll() is not None:
            self.start_all()
        for child in children_of(self.processes["up"].pid):
            if name.encode() in command_of(child):
                return child
        return 0

    def execute(self, statement: str) -> None:
        with sqlite3.connect(self.data_dir / "certsync.db", timeout=SECONDS) as connection:
            connection.execute(statement)
        connection.close()

    @contextmanager
    def without_database(self) -> Iterator[None]:
        connection = sqlite3.connect(self.data_dir / "certsync.db", timeout=SECONDS, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.close()
