"""`certsync migrate` with a role of its own: what it gives to the service's, and what it refuses."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlmodel import SQLModel

from app.database_urls import migration_url
from app.errors import ConfigurationError
from app.migrations import upgrade
from app.row_security import SCHEMA_TABLES
from app.settings import Settings
from tests.support.databases import migrate_at_once
from tests.support.postgres import PostgresCluster
from tests.support.walls import (
    OWNER,
    SERVICE,
    add_district,
    as_role,
    ask,
    check,
    districts,
    give_database,
    run_sql,
    settings_of,
)


def unwalled(owned_url: str) -> set[object]:
    """The tables of a database that have no row-level security."""
    rows = ask(
        owned_url,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND NOT relrowsecurity "
        "AND relnamespace = 'public'::regnamespace",
    )
    return {name for (name,) in rows}


def test_no_table_is_without_its_policies(owned_url: str, tmp_path: Path) -> None:
    """Whichever is added later: it has a district, or it is about the schema and has no row of anybody's."""
    upgrade(settings_of(owned_url, tmp_path))
    assert unwalled(owned_url) == set(SCHEMA_TABLES)
    policies = ask(owned_url, "SELECT tablename, cmd, permissive FROM pg_policies")
    for name in SQLModel.metadata.tables:
        assert policies.count((name, "ALL", "PERMISSIVE")) == 2, name
    assert len(policies) == 2 * len(SQLModel.metadata.tables)


def test_a_second_time_changes_nothing(owned_url: str, tmp_path: Path) -> None:
    settings = settings_of(owned_url, tmp_path)
    upgrade(settings)
    query = (
        "SELECT oid, xmin::text FROM pg_policy UNION ALL "
        "SELECT oid, concat(relowner, relacl, relrowsecurity) FROM pg_class ORDER BY 1"
    )
    before = ask(owned_url, query)
    upgrade(settings)
    assert ask(owned_url, query) == before


def test_several_may_migrate_at_once(owned_url: str, tmp_path: Path) -> None:
    settings = settings_of(owned_url, tmp_path)
    migrate_at_once(settings)
    asyncio.run(check(settings))


async def test_who_may_not_make_roles_says_what_an_administrator_types(
    roles: PostgresCluster, owned_url: str, other_role: str, tmp_path: Path
) -> None:
    run_sql(owned_url, f"CREATE ROLE {other_role}_owner LOGIN")
    try:
        give_database(roles, owned_url, f"{other_role}_owner")
        settings = settings_of(owned_url, tmp_path, service=other_role, owner=f"{other_role}_owner")
        with pytest.raises(ConfigurationError, match="administrator of the database type, once") as told:
            upgrade(settings)
        assert ask(owned_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
        run_sql(owned_url, str(told.value).rpartition("migrate again: ")[2])
        upgrade(settings)
        await check(settings)
    finally:
        give_database(roles, owned_url)
        run_sql(owned_url, f"DROP OWNED BY {other_role}_owner; DROP ROLE {other_role}_owner")


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("ALTER ROLE {} SUPERUSER", "is a superuser"),
        ("ALTER ROLE {} BYPASSRLS", "has BYPASSRLS"),
        (f"GRANT {OWNER} TO {{}}", f'REVOKE "{OWNER}" FROM'),
    ],
)
def test_a_role_that_no_wall_would_stop_is_refused(
    owned_url: str, other_role: str, tmp_path: Path, sql: str, told: str
) -> None:
    run_sql(owned_url, sql.format(other_role))
    with pytest.raises(ConfigurationError, match=told):
        upgrade(settings_of(owned_url, tmp_path, service=other_role))


def test_one_role_for_both_is_refused(owned_url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"name one role, {OWNER}"):
        upgrade(settings_of(owned_url, tmp_path, service=OWNER))


def test_a_role_that_cannot_log_in_is_said(owned_url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CREATE ROLE certsync_app LOGIN"):
        upgrade(settings_of(owned_url, tmp_path, service="certsync_absent"))


def test_a_migration_role_is_for_postgresql(tmp_path: Path) -> None:
    given = SecretStr("postgresql://owner@host/name")
    settings = Settings(data_dir=tmp_path, migration_database_url=given)
    for refusing in (migration_url, upgrade):
        with pytest.raises(ConfigurationError, match="give CERTSYNC_DATABASE_URL too"):
            refusing(settings)


async def test_the_service_does_not_start_as_the_owner(owned_url: str, tmp_path: Path) -> None:
    upgrade(settings_of(owned_url, tmp_path))
    for role in (OWNER, "certsync"):
        as_owner = Settings(data_dir=tmp_path, database_url=SecretStr(as_role(owned_url, role)))
        with pytest.raises(ConfigurationError, match=f"not for the role {role}: "):
            await check(as_owner)


@pytest.mark.parametrize(
    "damage",
    ["ALTER TABLE run DISABLE ROW LEVEL SECURITY", f"DROP POLICY {SERVICE} ON run"],
)
async def test_what_is_left_of_the_wall_is_noticed_and_mended(
    owned_url: str, tmp_path: Path, damage: str
) -> None:
    settings = settings_of(owned_url, tmp_path)
    upgrade(settings)
    run_sql(owned_url, damage)
    with pytest.raises(ConfigurationError, match="run is left"):
        await check(settings)
    upgrade(settings)
    await check(settings)


async def test_a_role_that_migrate_does_not_know_does_not_serve(
    owned_url: str, other_role: str, tmp_path: Path
) -> None:
    upgrade(settings_of(owned_url, tmp_path))
    with pytest.raises(ConfigurationError, match="does not have all of its row-level security"):
        await check(settings_of(owned_url, tmp_path, service=other_role))


def test_the_service_cannot_change_the_schema(owned_url: str, tmp_path: Path) -> None:
    settings = settings_of(owned_url, tmp_path)
    upgrade(settings, "0006")
    alone = settings.model_copy(update={"migration_database_url": None})
    with pytest.raises(ConfigurationError, match="as CERTSYNC_MIGRATION_DATABASE_URL"):
        upgrade(alone)
    upgrade(settings)
    upgrade(alone)  # there is nothing to do
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run_sql(as_role(owned_url, SERVICE), "UPDATE alembic_version SET version_num = '0001'")


async def test_a_role_that_inherits_reaches_no_more(owned_url: str, other_role: str, tmp_path: Path) -> None:
    """So it would on PostgreSQL 15, where a membership cannot say otherwise, without NOINHERIT."""
    run_sql(owned_url, f"ALTER ROLE {other_role} INHERIT")
    settings = settings_of(owned_url, tmp_path, service=other_role)
    upgrade(settings)
    run_sql(owned_url, f"GRANT {other_role}_chores TO {other_role}")
    for district in ("one", "two"):
        await add_district(settings, district)
    assert await districts(settings, "one") == {"one"}
