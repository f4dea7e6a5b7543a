"""The schema: up, down and up again on both databases, and it takes every value of every vocabulary."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic import command
from sqlmodel import SQLModel

import app.models  # noqa: F401 - declares the tables
from app import migrations
from app.settings import Settings
from tests.support.databases import migrate_at_once
from tests.support.table_rows import insert_parents, sync_engine, values_of


@pytest.fixture
def connection(settings: Settings) -> Iterator[sa.Connection]:
    """A connection to a migrated database whose work is rolled back."""
    engine = sync_engine(settings)
    with engine.connect() as opened:
        yield opened
        opened.rollback()
    engine.dispose()


def tables(settings: Settings) -> set[str]:
    engine = sync_engine(settings)
    try:
        return set(sa.inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_up_and_down_and_up_again(empty: Settings) -> None:
    config = migrations.alembic_config(empty)
    for _ in range(2):
        migrations.upgrade(empty)
        command.check(config)  # the models ask for nothing that the migrations do not make
        assert set(SQLModel.metadata.tables) <= tables(empty)
        command.downgrade(config, "base")
        assert tables(empty) == {"alembic_version"}
    migrations.upgrade(empty)
    migrations.upgrade(empty)


def test_several_processes_may_migrate_at_once(empty: Settings) -> None:
    migrate_at_once(empty)
    command.check(migrations.alembic_config(empty))


ENUMS = [
    column
    for table in SQLModel.metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, sa.Enum)
]


def test_every_value_of_a_vocabulary_is_stored_and_no_other(connection: sa.Connection) -> None:
    assert {str(column) for column in ENUMS} >= {"run.status", "employee.status", "run_finding.kind"}
    for column in ENUMS:
        with connection.begin_nested() as point:
            store_every_value(connection, column)
            point.rollback()


def store_every_value(connection: sa.Connection, column: sa.Column[Any]) -> None:
    table = column.table
    assert isinstance(table, sa.Table)
    insert_parents(connection, table)
    vocabulary: Any = column.type.python_type
    for value in vocabulary:
        with connection.begin_nested() as point:
            connection.execute(sa.insert(table).values({**values_of(table), column.name: value}))
            assert connection.execute(sa.select(sa.cast(column, sa.Text))).scalar_one() == value.value
            point.rollback()
    connection.execute(sa.insert(table).values(values_of(table)))
    with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
        connection.execute(sa.text(f"UPDATE {table.name} SET {column.name} = 'nonsense'"))


def test_constraints_have_the_conventions_names(connection: sa.Connection) -> None:
    inspector = sa.inspect(connection)
    for name in SQLModel.metadata.tables:
        kinds: dict[str, list[Any]] = {
            "pk": [inspector.get_pk_constraint(name)],
            "fk": inspector.get_foreign_keys(name),
            "uq": inspector.get_unique_constraints(name),
            "ck": inspector.get_check_constraints(name),
        }
        for prefix, constraints in kinds.items():
            for constraint in constraints:
                assert re.match(f"{prefix}_{name}(_|$)", str(constraint["name"])), (name, constraint)
        for index in inspector.get_indexes(name):
            assert re.match(f"(ix|uq)_{name}_", str(index["name"])), (name, index)


def test_a_district_has_one_run_in_progress_and_an_employee_one_primary(connection: sa.Connection) -> None:
    """The two partial indexes, without which a race would show only in production."""
    run, endorsement = (SQLModel.metadata.tables[name] for name in ("run", "endorsement"))
    insert_parents(connection, endorsement)
    chosen = {"is_primary": True}
    connection.execute(sa.insert(endorsement).values({**values_of(endorsement), **chosen}))
    other = {"id": 2, "public_id": UUID(int=2)}
    connection.execute(sa.insert(endorsement).values({**values_of(endorsement), **other}))
    with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
        connection.execute(sa.update(endorsement).values(chosen))
    working = {**values_of(run), "status": "in_progress", "district_id": "x"}
    connection.execute(sa.delete(run))
    connection.execute(sa.insert(run).values(working))
    with pytest.raises(sa.exc.IntegrityError):
        connection.execute(sa.insert(run).values({**working, "id": UUID(int=2)}))
