"""Fixtures: a migrated database of the test's own, on SQLite and on PostgreSQL."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from app.migrations import upgrade
from app.reach import everywhere
from app.settings import Settings
from tests.support.postgres import PostgresCluster
from tests.support.processes import ROOT


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema and no rows, to copy."""
    directory = tmp_path_factory.mktemp("migrated")
    upgrade(Settings(data_dir=directory))
    return directory / "certsync.db"


@pytest.fixture(scope="session")
def migrated_postgres(postgres_cluster: PostgresCluster) -> str:
    """The name of a database with the schema and no rows, to copy."""
    url = postgres_cluster.create_database()
    upgrade(Settings(database_url=SecretStr(url)))
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


WALLED = "walled"
in_every_mode = pytest.mark.parametrize("settings", ["sqlite", "postgresql", WALLED], indirect=True)
"""Marks what is also tested on PostgreSQL with row-level security.

The test itself then reaches every district, requests that it sends with `Api.call` only their caller's.
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of an instance with an empty, migrated database, once for each kind of database."""
    if request.param == WALLED:
        walled: Settings = request.getfixturevalue("walled")
        with everywhere():
            yield walled
        return
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "certsync.db")
        yield Settings(data_dir=tmp_path)
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    url = cluster.create_database(template=request.getfixturevalue("migrated_postgres"))
    yield Settings(data_dir=tmp_path, database_url=SecretStr(url))
    cluster.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a database without a schema."""
    if request.param == "sqlite":
        return Settings(data_dir=tmp_path)
    return Settings(data_dir=tmp_path, database_url=SecretStr(request.getfixturevalue("postgres_url")))


def migrate_at_once(settings: Settings) -> None:
    """Bring the schema up to date in two processes at the same time; fails when one of them does."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CERTSYNC_")}
    environment["CERTSYNC_DATA_DIR"] = str(settings.data_dir)
    for name in ("database_url", "migration_database_url"):
        if url := getattr(settings, name):
            environment[f"CERTSYNC_{name.upper()}"] = url.get_secret_value()
    script = "from app.migrations import upgrade; from app.settings import Settings; upgrade(Settings())"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0, output
