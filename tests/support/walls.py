"""Fixtures: a migrated PostgreSQL whose districts are kept apart by row-level security.

Three roles, as in production: the owner migrates, the service is subject to the policies, and becomes the
third for what is of the whole deployment.
"""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlmodel import select

from app.database import Database
from app.migrations import check_schema, upgrade
from app.models import District
from app.reach import everywhere, within_district
from app.settings import Settings
from tests.support.postgres import PostgresCluster

OWNER, SERVICE = "certsync_owner", "certsync_app"
OTHER = "certsync_other"
"""A role of one test, dropped after it with all that it has."""
ROLES = f"""
CREATE ROLE {OWNER} LOGIN CREATEROLE;
CREATE ROLE {SERVICE} LOGIN NOINHERIT;
"""


def as_role(url: str, role: str) -> str:
    """Return the URL of the same database for another role; the tests' server asks for no password."""
    return make_url(url).set(username=role).render_as_string(hide_password=False)


def settings_of(url: str, data_dir: Path, service: str = SERVICE, owner: str = OWNER) -> Settings:
    """Return settings of a database with a role for the service and another for its migrations."""
    return Settings(
        data_dir=data_dir,
        database_url=SecretStr(as_role(url, service)),
        migration_database_url=SecretStr(as_role(url, owner)),
    )


def give_database(cluster: PostgresCluster, url: str, owner: str = OWNER) -> None:
    """Make `owner` the owner of an empty database."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    run_sql(
        cluster.url,
        sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(str(name)), sql.Identifier(owner)),
    )


def run_sql(url: str, *statements: str | sql.Composed) -> None:
    """Execute statements, each in a transaction of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture(scope="session")
def roles(postgres_cluster: PostgresCluster) -> PostgresCluster:
    """The server, with the roles of an owner and of a service."""
    run_sql(postgres_cluster.url, ROLES)
    return postgres_cluster


@pytest.fixture(scope="session")
def migrated_wall(roles: PostgresCluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with schema, policies and no rows, to copy."""
    url = roles.create_database()
    give_database(roles, url)
    upgrade(settings_of(url, tmp_path_factory.mktemp("wall")))
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


@pytest.fixture
def walled_url(roles: PostgresCluster, migrated_wall: str) -> Iterator[str]:
    """An empty database with the wall, as a superuser."""
    url = roles.create_database(template=migrated_wall)
    give_database(roles, url)
    yield url
    roles.drop_database(url)


@pytest.fixture
def walled(walled_url: str, tmp_path: Path) -> Settings:
    """Settings of an instance whose role is subject to row-level security."""
    return Settings(data_dir=tmp_path, database_url=SecretStr(as_role(walled_url, SERVICE)))


@pytest.fixture
def owned_url(roles: PostgresCluster, postgres_url: str) -> str:
    """An empty database of the owner's, as a superuser."""
    give_database(roles, postgres_url)
    return postgres_url


@pytest.fixture
def other_role(owned_url: str) -> Iterator[str]:
    """A role that may log in, and nothing else."""
    run_sql(owned_url, f"CREATE ROLE {OTHER} LOGIN NOINHERIT")
    yield OTHER
    run_sql(
        owned_url,
        f"REASSIGN OWNED BY {OTHER} TO {OWNER}; DROP OWNED BY {OTHER}; DROP ROLE {OTHER}",
        f"DO $$ BEGIN DROP OWNED BY {OTHER}_chores; DROP ROLE {OTHER}_chores; "
        "EXCEPTION WHEN undefined_object THEN NULL; END $$",
    )


def ask(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


async def check(settings: Settings) -> None:
    database = Database(settings)
    try:
        await check_schema(database)
    finally:
        await database.close()


async def add_district(settings: Settings, district_id: str) -> None:
    database = Database(settings)
    with within_district(district_id):
        async with database.write() as session:
            session.add(District(id=district_id, name=district_id, timezone="America/New_York"))
    await database.close()


async def districts(settings: Settings, of: str | None = None) -> set[str]:
    database = Database(settings)
    with within_district(of) if of else everywhere():
        async with database.read() as session:
            found = set((await session.exec(select(District.id))).all())
    await database.close()
    return found
