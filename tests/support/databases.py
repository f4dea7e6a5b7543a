"""Fixtures: a migrated database of the test's own, on SQLite and on PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from app.migrations import upgrade
from app.reach import everywhere
from app.settings import Settings
from tests.support.postgres import PostgresCluster


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
