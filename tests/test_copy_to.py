"""`certsync copy-to`: a newcomer's data go over to PostgreSQL, and the service goes on there."""

import asyncio
import sqlite3
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlmodel import SQLModel

from app.cli.main import prepare_database
from app.factory import Factory
from app.services import run_reporting
from app.settings import Settings
from tests.support.commands import certsync, refused
from tests.support.copies import copied, fill_every_table, url
from tests.support.imports import DISTRICT, empty_pdf, lists, records, select, succeed, write
from tests.support.lived_in import PASSWORD, edit_one, live_in
from tests.support.postgres import PostgresCluster
from tests.support.schedules import clock, scheduled, task_now, tick
from tests.support.table_rows import all_rows, sync_engine

NOT_COPIED = {"alembic_version", "schema_support", "resource_version"}
"""Of a database's tables: what is about the schema, and the counter, which PostgreSQL has as a sequence."""
VERSIONED = [table for table in SQLModel.metadata.sorted_tables if "version" in table.c]


async def test_the_data_go_over_and_the_service_goes_on(
    here: Settings, there: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)
    factory = Factory(here)
    path, task = await live_in(factory, here.data_dir)
    runs = await select(factory, sa.text("SELECT count(*) AS n FROM run"))
    await factory.close()
    told = await asyncio.to_thread(copied, here, there)

    before, after = all_rows(here), all_rows(there)
    assert after == before
    assert {name for name, rows in before.items() if not rows} == {"idempotency_key"}
    for line in ("run_finding", "CERTSYNC_DATABASE_URL", "CERTSYNC_ENCRYPTION_KEYS", str(here.data_dir)):
        assert line in told
    assert PASSWORD not in told

    factory = Factory(there)
    highest = 0
    for table in VERSIONED:
        [found] = await select(factory, sa.select(sa.func.max(table.c.version).label("last")))
        highest = max(highest, found["last"] or 0)
    assert (await edit_one(factory, "2033-06-30")).version > highest
    assert (await factory.attempts.load(DISTRICT)).target.password == SecretStr(PASSWORD)
    verified = await factory.audit_verification.verify(DISTRICT)
    assert (verified.is_intact, verified.start.sequence, verified.redacted) == (True, 1, 1), verified.breaks
    with pytest.raises(sa.exc.IntegrityError, match="append-only"):
        await write(factory, sa.text("DELETE FROM audit_event"))
    with pytest.raises(sa.exc.IntegrityError, match="append-only: INSERT"):
        await write(factory, sa.text("INSERT INTO audit_seal SELECT district_id, 0, id, '' FROM audit_event"))
    first = await succeed(factory, path)  # goes over both edits by hand, of one record
    assert len((await lists(factory, first))["overwritten"]) == 1
    stable = await records(factory)
    again = await succeed(factory, path)
    assert again.summary is not None
    assert "change" not in await lists(factory, again)
    assert await records(factory) == stable  # ids, versions, and on PostgreSQL no row was written at all
    assert len(await select(factory, sa.text("SELECT id FROM run"))) == runs[0]["n"] + 2

    due = (await task_now(factory, task)).next_run_at
    assert due is not None
    with clock(due.replace(tzinfo=None).isoformat()):
        await tick(factory)
        following = (await task_now(factory, task)).next_run_at
        assert following is not None
        assert following > due
        assert [run.slot for run in await scheduled(factory, task)] == [due, following]
    await factory.close()


def test_every_table_is_copied_and_every_key_goes_on(here: Settings, there: Settings) -> None:
    fill_every_table(here)
    engine = sync_engine(here)
    tables = set(sa.inspect(engine).get_table_names()) - NOT_COPIED
    engine.dispose()
    copied(here, there)
    rows = all_rows(there)
    assert rows.keys() == tables, "a table without a model is not copied"
    assert rows == all_rows(here)
    assert all(rows.values())
    with psycopg.connect(url(there)) as connection:
        assert connection.execute("SELECT nextval('resource_version')").fetchone() == (2,)
        for table in SQLModel.metadata.sorted_tables:
            if table.autoincrement_column is not None:
                name = f"SELECT nextval(pg_get_serial_sequence('{table.name}', 'id'))"
                assert connection.execute(name).fetchone() == (2,)
            [analysed] = connection.execute(
                "SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [table.name]
            ).fetchone() or [None]
            assert analysed == len(rows[table.name])


def test_the_counter_goes_on_after_the_highest_number_ever_given(here: Settings, there: Settings) -> None:
    with sqlite3.connect(here.data_dir / "certsync.db") as database:
        database.execute("UPDATE resource_version SET value = 4711")  # of rows that are deleted by now
    database.close()
    copied(here, there)
    with psycopg.connect(url(there)) as connection:
        assert connection.execute("SELECT nextval('resource_version')").fetchone() == (4712,)


def test_a_newcomers_target_may_be_migrated_already(here: Settings, there: Settings) -> None:
    prepare_database(there)  # with a default district, whose creation date is another one
    copied(here, there)
    assert all_rows(there) == all_rows(here)


def test_what_is_no_copy_from_sqlite_to_postgresql_is_refused(
    here: Settings, there: Settings, tmp_path: Path
) -> None:
    for target in ("sqlite:////tmp/other.db", "mysql://x/y", "nonsense"):
        result = certsync(here.data_dir, "copy-to", target)
        assert result.returncode == 2
        assert "give postgresql://user:password@host:5432/name" in result.stderr
    result = certsync(here.data_dir, "copy-to", url(there), CERTSYNC_DATABASE_URL=url(there))
    refused(result, "The data are in PostgreSQL", "pg_dump")
    missing = tmp_path / "missing"
    refused(certsync(missing, "copy-to", url(there)), "There is no database", "CERTSYNC_DATA_DIR")
    assert not missing.exists()
    unreachable = "postgresql://somebody:word@127.0.0.1:1/x"
    refused(certsync(here.data_dir, "copy-to", unreachable), "The target cannot be opened")
    assert "word" not in certsync(here.data_dir, "copy-to", unreachable).stderr


def test_a_target_with_anything_in_it_is_refused(
    here: Settings, there: Settings, postgres_cluster: PostgresCluster
) -> None:
    with psycopg.connect(url(there), autocommit=True) as connection:
        connection.execute("CREATE TABLE somebodys (id int)")
        refused(certsync(here.data_dir, "copy-to", url(there)), "does not have this version's schema")
        connection.execute("DROP TABLE somebodys")
        prepare_database(there)
        connection.execute("INSERT INTO job_class VALUES ('default', 'T', '', false, 1)")
        refused(certsync(here.data_dir, "copy-to", url(there)), "The target has data: rows in job_class")
        connection.execute("DELETE FROM job_class")
        connection.execute("UPDATE district SET roster_version = 1")
        refused(certsync(here.data_dir, "copy-to", url(there)), "The target has data: rows in district")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        refused(certsync(here.data_dir, "copy-to", url(there)), "does not have this version's schema")
    with psycopg.connect(postgres_cluster.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    latin = postgres_cluster.url.replace("/postgres?", "/latin?")
    refused(certsync(here.data_dir, "copy-to", latin), "LATIN1", "UTF8")
    postgres_cluster.drop_database(latin)


def test_an_old_schema_here_is_refused(here: Settings, there: Settings) -> None:
    with sqlite3.connect(here.data_dir / "certsync.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    database.close()
    refused(certsync(here.data_dir, "copy-to", url(there)), "certsync migrate")
    with psycopg.connect(url(there)) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone() == (0,)
