"""Fixtures that more than one file of tests uses."""

from collections.abc import Iterator

import pytest

from tests.support.api import api, logs
from tests.support.by_hand import lenient
from tests.support.copies import here, there
from tests.support.databases import empty, migrated_postgres, migrated_sqlite, settings
from tests.support.fuzzing import register_profiles
from tests.support.imports import factory
from tests.support.object_storage import bucket, s3_server
from tests.support.oidc import provider
from tests.support.openssh import openssh_password, openssh_server
from tests.support.postgres import PostgresCluster
from tests.support.queueing import redis, redis_process, redis_url, service
from tests.support.recovery import hasty, unhurried
from tests.support.walls import migrated_wall, other_role, owned_url, roles, walled, walled_url

__all__ = [
    "api",
    "bucket",
    "empty",
    "factory",
    "hasty",
    "here",
    "lenient",
    "logs",
    "migrated_postgres",
    "migrated_sqlite",
    "migrated_wall",
    "openssh_password",
    "openssh_server",
    "other_role",
    "owned_url",
    "provider",
    "redis",
    "redis_process",
    "redis_url",
    "roles",
    "s3_server",
    "service",
    "settings",
    "there",
    "unhurried",
    "walled",
    "walled_url",
]


register_profiles()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """One server for the whole session, started by the first test that wants it."""
    cluster = PostgresCluster()
    yield cluster
    cluster.stop()


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """An empty database of the test's own."""
    url = postgres_cluster.create_database()
    yield url
    postgres_cluster.drop_database(url)
