"""The second wall between districts: what a query that forgot its filter reaches on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlmodel import SQLModel, select

from app.database import Database
from app.models import District
from app.reach import CHORES, DISTRICT_SETTING, ReachUnknownError, everywhere, nowhere, within_district
from app.row_security import district_column
from app.settings import Settings
from tests.support.table_rows import DUMMIES, sync_engine, values_of
from tests.support.walls import SERVICE

HERE, THERE = "here", "there"
TABLES = SQLModel.metadata.sorted_tables
district = District.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


def row(table: sa.Table, of: str, number: int) -> dict[str, Any]:
    """A row of a table and a district; its number tells it from others of its table."""
    values = values_of(table)
    for column in table.columns:
        if column.unique or column.primary_key or column.name.endswith("_id"):
            if isinstance(column.type, sa.Uuid):
                values[column.name] = UUID(int=number)
            elif isinstance(column.type, sa.Integer) and column.name in values:
                values[column.name] = number
            elif column.primary_key and values.get(column.name) == DUMMIES[str]:
                values[column.name] = str(number)
    return values | {district_column(table).name: of}


@pytest.fixture
def rows_of_two(walled_url: str, walled: Settings) -> Settings:
    """Settings of the service in whose database each table has a row of either district, and no parents."""
    engine = sync_engine(walled.model_copy(update={"database_url": SecretStr(walled_url)}))
    with engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        for table in TABLES:  # without the audit trail's triggers, which refuse what the wall lets pass
            connection.execute(sa.text(f'ALTER TABLE "{table.name}" DISABLE TRIGGER USER'))
            for number, of in enumerate((HERE, THERE), start=1):
                connection.execute(sa.insert(table).values(row(table, of, number)))
    engine.dispose()
    return walled


@pytest.fixture
def service(rows_of_two: Settings) -> Iterator[sa.Connection]:
    """A connection as the service's role, with a driver that knows nothing of districts."""
    engine = sync_engine(rows_of_two)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def districts_in(connection: sa.Connection, table: sa.Table) -> set[str]:
    return set(connection.execute(sa.select(district_column(table))).scalars())


def name_district(connection: sa.Connection, of: str) -> None:
    connection.execute(sa.select(sa.func.set_config(DISTRICT_SETTING, of, True)))


def refused(connection: sa.Connection, statement: sa.Executable, told: str) -> None:
    with pytest.raises(sa.exc.ProgrammingError, match=told), connection.begin_nested():
        connection.execute(statement)


def test_without_a_district_nothing_is_reached(service: sa.Connection) -> None:
    for table in reversed(TABLES):
        column = district_column(table)
        assert districts_in(service, table) == set(), table
        assert service.execute(sa.update(table).values({column: column})).rowcount == 0
        assert service.execute(sa.delete(table)).rowcount == 0
        refused(service, sa.insert(table).values(row(table, HERE, 3)), "row-level security")


def test_a_query_that_forgot_its_filter_reaches_its_own_district(service: sa.Connection) -> None:
    name_district(service, HERE)
    for table in reversed(TABLES):
        column = district_column(table)
        assert districts_in(service, table) == {HERE}, table
        assert service.execute(sa.update(table).values({column: column})).rowcount == 1, table
        refused(service, sa.update(table).values({column: THERE}), "row-level security")
        refused(service, sa.insert(table).values(row(table, THERE, 3)), "row-level security")
        refused(service, sa.text(f'TRUNCATE "{table.name}" CASCADE'), "permission denied")
        assert service.execute(sa.delete(table)).rowcount == 1, table
    name_district(service, THERE)
    assert all(districts_in(service, table) == {THERE} for table in TABLES)


def test_the_chores_reach_every_district(service: sa.Connection) -> None:
    service.execute(sa.select(sa.func.set_config("role", SERVICE + CHORES, True)))
    for table in TABLES:
        assert districts_in(service, table) == {HERE, THERE}, table


def test_the_wall_costs_a_query_one_comparison(service: sa.Connection) -> None:
    """Of filter and policy one condition is made, which the index takes, and a check before any row."""
    name_district(service, HERE)
    service.execute(sa.text("SET LOCAL enable_seqscan = off"))
    query = "EXPLAIN SELECT * FROM run WHERE district_id = :of ORDER BY scheduled_start, id"
    plan = "\n".join(service.execute(sa.text(query), {"of": HERE}).scalars())
    assert "One-Time Filter" in plan, plan
    assert f"Index Cond: ((district_id)::text = '{HERE}'::text)" in plan, plan
    service.execute(sa.select(sa.func.set_config("role", SERVICE + CHORES, True)))
    plan = "\n".join(service.execute(sa.text("EXPLAIN SELECT 1 FROM run WHERE ended_at > now()")).scalars())
    assert "Index Cond: (ended_at > now())" in plan, plan


@pytest.fixture
async def lone(rows_of_two: Settings) -> AsyncIterator[Database]:
    """The service's database on one connection, which every transaction gets after the other."""
    database = Database(rows_of_two, connections=(1, 0))
    yield database
    await database.close()


async def seen(database: Database) -> set[str]:
    async with database.read() as session:
        return set((await session.exec(select(District.id))).all())


async def test_a_transaction_of_no_district_is_a_fault(lone: Database) -> None:
    with pytest.raises(ReachUnknownError):
        await seen(lone)
    with nowhere():
        assert await seen(lone) == set()


async def test_districts_take_turns_on_one_connection(lone: Database) -> None:
    async def look(of: str) -> None:
        with within_district(of):
            for _ in range(20):  # more than it takes for the driver to prepare the statement
                assert await seen(lone) == {of}

    async def look_everywhere() -> None:
        with everywhere():
            for _ in range(20):
                assert await seen(lone) == {HERE, THERE}

    await asyncio.gather(look(HERE), look(THERE), look_everywhere())


async def test_a_connection_keeps_nothing_of_who_had_it(lone: Database) -> None:
    async def left() -> tuple[Any, ...]:
        query = sa.text(f"SELECT current_user, current_setting('{DISTRICT_SETTING}', true)")
        with nowhere():
            async with lone.engine.connect() as connection:
                return tuple((await connection.execute(query)).one())

    for reach in (within_district(HERE), everywhere()):
        with reach:
            async with lone.write() as session:
                await session.exec(sa.update(district).values(name="committed"))
        assert await left() in {(SERVICE, None), (SERVICE, "")}
    for reach in (within_district(HERE), everywhere()):
        with reach, pytest.raises(sa.exc.DBAPIError):
            async with lone.write() as session:
                await (await session.connection()).execute(sa.text("SELECT 1 / 0"))
        assert await left() in {(SERVICE, None), (SERVICE, "")}


async def test_each_transaction_of_one_connection_is_of_the_district_of_its_time(lone: Database) -> None:
    async with lone.engine.connect() as connection:
        for of in (HERE, THERE):
            with within_district(of):
                found = set((await connection.execute(sa.select(district.c.id))).scalars())
            await connection.commit()
            assert found == {of}


def test_the_roles_are_what_production_has(walled: Settings) -> None:
    assert walled.database_url is not None
    with psycopg.connect(walled.database_url.get_secret_value()) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, False, True)
