"""A deployment goes from one role for PostgreSQL to two, and back, and keeps its wall in a backup."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlmodel import select

from app.database import Database
from app.errors import ConfigurationError
from app.migrations import upgrade
from app.models import District
from app.settings import Settings
from tests.support.backups import postgres
from tests.support.postgres import PostgresCluster
from tests.support.processes import ROOT
from tests.support.walls import (
    OWNER,
    SERVICE,
    add_district,
    as_role,
    check,
    districts,
    give_database,
    run_sql,
    settings_of,
)


async def test_a_deployment_of_one_role_gets_another_while_it_serves(owned_url: str, tmp_path: Path) -> None:
    """Its role stays the owner and migrates from now on: what runs goes on until it is restarted."""
    before = Settings(data_dir=tmp_path, database_url=SecretStr(as_role(owned_url, OWNER)))
    upgrade(before)
    await check(before)
    for district in ("one", "two"):
        await add_district(before, district)
    running = Database(before)
    async with running.read() as session:
        await session.exec(select(District.id))
    upgrade(settings_of(owned_url, tmp_path))
    async with running.read() as session:
        assert len((await session.exec(select(District.id))).all()) == 2
    await running.close()
    after = Settings(data_dir=tmp_path, database_url=SecretStr(as_role(owned_url, SERVICE)))
    await check(after)
    assert await districts(after) == {"one", "two"}
    assert await districts(after, "one") == {"one"}


async def test_tables_of_the_services_role_are_given_to_an_owner(
    roles: PostgresCluster, owned_url: str, other_role: str, tmp_path: Path
) -> None:
    """The other_role way: the service keeps its role, and a new one takes over what it owns."""
    run_sql(owned_url, f"ALTER ROLE {other_role} INHERIT")  # as by default
    give_database(roles, owned_url, other_role)
    before = Settings(data_dir=tmp_path, database_url=SecretStr(as_role(owned_url, other_role)))
    upgrade(before)
    for district in ("one", "two"):
        await add_district(before, district)
    after = settings_of(owned_url, tmp_path, service=other_role)
    with pytest.raises(ConfigurationError, match="owns tables") as told:
        upgrade(after)
    run_sql(owned_url, str(told.value).rpartition("migrate again: ")[2])
    upgrade(after)
    await check(after)
    assert await districts(after) == {"one", "two"}
    assert await districts(after, "one") == {"one"}


async def test_the_way_back_that_the_documentation_gives(owned_url: str, tmp_path: Path) -> None:
    upgrade(settings_of(owned_url, tmp_path))
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    run_sql(owned_url, text.partition("**Back to one role**")[2].partition("```sql")[2].partition("```")[0])
    one = Settings(data_dir=tmp_path, database_url=SecretStr(as_role(owned_url, OWNER)))
    upgrade(one)
    await check(one)
    assert await districts(one) == set()


async def test_a_restored_backup_keeps_its_wall(
    roles: PostgresCluster, owned_url: str, tmp_path: Path
) -> None:
    settings = settings_of(owned_url, tmp_path)
    upgrade(settings)
    for district in ("one", "two"):
        await add_district(settings, district)
    dump = str(tmp_path / "dump")
    postgres("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={as_role(owned_url, OWNER)}")
    target = roles.create_database()
    give_database(roles, target)
    to = f"--dbname={as_role(target, OWNER)}"
    postgres("pg_restore", "--exit-on-error", "--no-owner", f"--role={OWNER}", to, dump)
    restored = settings_of(target, tmp_path)
    await check(restored)
    upgrade(restored)
    assert await districts(restored) >= {"one", "two"}
    assert await districts(restored, "one") == {"one"}
    roles.drop_database(target)
