import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support import postgres
from tests.support.postgres import PostgresCluster, PostgresError, find_binaries
from tests.support.processes import alive, until

HOLD_A_CLUSTER = """
import time
from tests.support.postgres import PostgresCluster
cluster = PostgresCluster()
print(cluster.directory, flush=True)
time.sleep(60)
"""


def test_each_database_is_separate(postgres_cluster: PostgresCluster) -> None:
    first, second = postgres_cluster.create_database(), postgres_cluster.create_database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE only_here ()")
    with (
        psycopg.connect(second) as connection,
        pytest.raises(psycopg.errors.UndefinedTable),
    ):
        connection.execute("SELECT * FROM only_here")


def test_a_database_can_be_copied_and_dropped(postgres_cluster: PostgresCluster) -> None:
    original = postgres_cluster.create_database()
    with psycopg.connect(original) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        template = connection.info.dbname
    copy = postgres_cluster.create_database(template=template)
    with psycopg.connect(copy) as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [(7,)]
        postgres_cluster.drop_database(copy)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_committed_rows_survive_a_restart() -> None:
    cluster = PostgresCluster(fsync=True)
    try:
        with psycopg.connect(cluster.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        open_connection = psycopg.connect(cluster.url)
        cluster.restart()
        with pytest.raises(psycopg.OperationalError):
            open_connection.execute("SELECT 1")
        open_connection.close()
        with psycopg.connect(cluster.url) as connection:
            assert connection.execute("SELECT value FROM kept").fetchall() == [(7,)]
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
    finally:
        cluster.stop()
    assert not cluster.directory.exists()


def test_the_server_ends_when_the_tests_are_killed() -> None:
    root = Path(postgres.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_CLUSTER], cwd=root, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        directory = Path(holder.stdout.readline().strip())
        server = int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])
        holder.send_signal(signal.SIGKILL)
    until(lambda: not directory.exists(), what="the directory is gone")
    until(lambda: not alive(server), what="the server is gone")


def test_no_binaries_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_candidates", lambda: iter([Path(os.devnull)]))
    with pytest.raises(PostgresError, match="run `make test`"):
        find_binaries()
