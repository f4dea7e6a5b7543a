"""A copy to PostgreSQL that cannot be done, goes wrong or is killed leaves nothing there, and says why."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlmodel import SQLModel

from app.migrations import upgrade
from app.services.database_copy import copy_database, sqlite_file
from app.settings import Settings
from app.supervisor import only_instance
from tests.support.commands import certsync, refused
from tests.support.copies import copied, fill_every_table, url
from tests.support.postgres import PostgresCluster
from tests.support.processes import until
from tests.support.table_rows import all_rows, sync_engine, values_of
from tests.support.worlds import tried

LOCK = 4711
LONG_AGO = datetime(1, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
EVERY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
NAUGHTY = [
    "",
    " ",
    "\\N",
    "\\.",
    "\\",
    "\t\n\r\x0b\x1f\x7f\x85\u2028",
    "NULL",
    "'; DROP TABLE run; --",
    "\uff21nn Jose\u0301",
    "😀 \U0010ffff \ufeff \ufffd",
    "\u202eright to left",
]


@contextmanager
def opened(settings: Settings) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(settings.data_dir / "certsync.db", isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def copy_fails(here: Settings, there: Settings, *told: str) -> None:
    """The copy ends with this message, and the target has nothing but what it had."""
    before = all_rows(there)
    result = certsync(here.data_dir, "copy-to", url(there))
    refused(result, *told)
    assert "Mar" not in result.stderr + result.stdout
    assert all_rows(there) == before


def test_a_service_that_runs_on_the_data_is_noticed(here: Settings, there: Settings) -> None:
    upgrade(there)
    with only_instance(here.data_dir):
        copy_fails(here, there, "Already running", f"(process {os.getpid()})")
    copied(here, there)


@pytest.mark.parametrize("doing", ["SELECT 1 FROM district", "BEGIN IMMEDIATE"])
def test_anybody_who_has_the_data_open_is_noticed(here: Settings, there: Settings, doing: str) -> None:
    """Also a worker that idles: what it wrote after the copy would be lost."""
    upgrade(there)
    with opened(here) as somebody:
        somebody.execute(doing).fetchall()
        copy_fails(here, there, "Another process has the SQLite database open", "`worker`")
    copied(here, there)


def test_a_target_that_is_written_to_is_noticed(here: Settings, there: Settings) -> None:
    upgrade(there)
    with psycopg.connect(url(there)) as somebody:
        somebody.execute("INSERT INTO district VALUES ('x', 'x', 'VT', 'UTC', NULL, 0, 0, now())")
        refused(certsync(here.data_dir, "copy-to", url(there)), "Somebody is writing to the target")


TOO_LONG = "UPDATE employee SET first_name = printf('%.*c', 201, 'x')"
NUL = "UPDATE employee SET last_name = 'Mar' || char(0) || 'sh'"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (NUL, ("row {'id': '1'} of the table employee", "NUL", "Correct it in SQLite")),
        (
            "UPDATE employee SET first_name = printf('%.*c', 201, 'x')",
            ("table employee", "first_name", "22001"),
        ),
        ("UPDATE run SET progress = 1 << 40", ("table run", "progress", "22003")),
        ("UPDATE task SET recurrence = 'Marsh'", ("table task", "recurrence", "22P02")),
        ("UPDATE endorsement SET certification_id = 99", ("table endorsement", "23503")),
        ("UPDATE task SET description = CAST(x'4d61727368ff' AS TEXT)", ("cannot be read", "description")),
        ("UPDATE task SET scheduled_start_date = 'Marsh'", ("table task", "Correct it in SQLite")),
    ],
)
def test_what_only_sqlite_stores_is_named(
    here: Settings, there: Settings, change: str, told: tuple[str, ...]
) -> None:
    """Without its value. No such row comes from certsync, which refuses what it cannot store everywhere."""
    upgrade(there)
    fill_every_table(here)
    with opened(here) as database:
        database.execute(change)
    copy_fails(here, there, *told)


TAMPERING = {
    "a row is lost": "RETURN NULL;",
    "a letter differs": "NEW.edited_by := upper(NEW.edited_by); RETURN NEW;",
    "an instant differs": "NEW.at := NEW.at + interval '1 microsecond'; RETURN NEW;",
    "a null appears": "NEW.code := NULL; RETURN NEW;",
    "JSON is another text": "NEW.before := '[ ]'; RETURN NEW;",
    "a big number differs": "NEW.id := NEW.id + 1; RETURN NEW;",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_any_difference_is_found_and_nothing_is_kept(here: Settings, there: Settings, what: str) -> None:
    upgrade(there)
    fill_every_table(here)
    with opened(here) as database:
        database.execute("UPDATE record_edit SET id = (1 << 53) + 1, code = 'null'")
    make_trigger(there, "record_edit", TAMPERING[what])
    copy_fails(here, there, "The table record_edit is not the same on both sides: 1 rows")


def make_trigger(there: Settings, table: str, body: str) -> None:
    with psycopg.connect(url(there), autocommit=True) as connection:
        connection.execute(
            f"CREATE FUNCTION tamper() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
        )
        connection.execute(
            f"CREATE TRIGGER tamper BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION tamper()"
        )


def test_a_copy_that_is_killed_leaves_nothing_and_is_done_again(here: Settings, there: Settings) -> None:
    upgrade(there)
    fill_every_table(here)
    make_trigger(there, "endorsement", f"PERFORM pg_advisory_xact_lock({LOCK}); RETURN NEW;")
    with psycopg.connect(url(there), autocommit=True) as watcher:
        watcher.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        environment = os.environ | {"CERTSYNC_DATA_DIR": str(here.data_dir)}
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "copy-to", url(there)],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        waits = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: watcher.execute(waits).fetchone())
        with opened(here) as writer:
            writer.execute("PRAGMA busy_timeout = 0")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                writer.execute("UPDATE district SET name = 'lost'")
        process.send_signal(signal.SIGKILL)
        process.wait()
        watcher.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
        others = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        until(lambda: not watcher.execute(others).fetchone())
        assert not any(all_rows(there).values())
        watcher.execute("DROP FUNCTION tamper CASCADE")
    copied(here, there)
    assert all_rows(there) == all_rows(here)


@pytest.fixture
def empty_copy(
    migrated_sqlite: Path, migrated_postgres: str, postgres_cluster: PostgresCluster, tmp_path: Path
) -> Iterator[Any]:
    """Make a migrated pair of databases for each example."""
    made: list[str] = []

    def pair() -> tuple[Settings, Settings]:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        shutil.copy(migrated_sqlite, directory / "certsync.db")
        made.append(postgres_cluster.create_database(template=migrated_postgres))
        here = Settings(data_dir=directory)
        return here, here.model_copy(update={"database_url": SecretStr(made[-1])})

    yield pair
    for database in made:
        postgres_cluster.drop_database(database)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=4)
"""No bare number is stored: SQLite would take it for one, since that is how it reads the column type JSON."""
INSTANTS = st.datetimes(timezones=st.just(UTC))
EDITS = st.fixed_dictionaries(
    {
        "id": st.integers(1, 2**63 - 2),
        "edited_by": EVERY_TEXT | st.sampled_from(NAUGHTY),
        "license_number": EVERY_TEXT | st.sampled_from(NAUGHTY),
        "code": st.none() | EVERY_TEXT,
        "at": INSTANTS,
        "public_id": st.uuids(),
        "before": OBJECTS,
        "after": st.just(sa.null()) | OBJECTS,
        "run_id": st.none() | st.uuids(),
    }
)
"""Rows of `record_edit`, which has a column of nearly every type."""


@hypothesis_settings(tried(4), phases=(Phase.generate,))
@given(edits=st.lists(EDITS, min_size=30, max_size=60, unique_by=lambda row: row["id"]), day=st.dates())
def test_whatever_certsync_stores_comes_over(empty_copy: Any, edits: list[dict[str, Any]], day: date) -> None:
    here, there = empty_copy()
    fill_every_table(here)
    tables = SQLModel.metadata.tables
    engine = sync_engine(here)
    with engine.begin() as connection:
        connection.execute(sa.delete(tables["record_edit"]))
        for row in edits:
            values = values_of(tables["record_edit"]) | row
            connection.execute(sa.insert(tables["record_edit"]).values(values))
        connection.execute(sa.update(tables["run"]).values(late=True, file_size=2**62, slot=LONG_AGO))
        connection.execute(sa.update(tables["certification"]).values(issue_date=day))
    engine.dispose()
    copy_database(sqlite_file(here), there, lambda *_: None)
    assert all_rows(there) == all_rows(here)
    assert stored_json(there) == stored_json(here)


def stored_json(settings: Settings) -> list[Any]:
    """The JSON of all edits as the text that is stored; NULL is not the text `null`."""
    engine = sync_engine(settings)
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT id, CAST(before AS TEXT), CAST(after AS TEXT) FROM record_edit ORDER BY id")
        ).all()
    engine.dispose()
    return [tuple(row) for row in rows]
