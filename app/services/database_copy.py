"""Moves a newcomer's data from SQLite over to PostgreSQL: all of it, compared on both sides, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import URL
from sqlmodel import SQLModel

import app.models  # noqa: F401 - declares the tables
from app.constants import DEFAULT_DISTRICT
from app.database import CLIENT_LIMITS
from app.database_urls import database_url
from app.errors import DatabaseCopyError
from app.migrations import known_revisions, upgrade
from app.models import District
from app.settings import Settings
from app.storage.table_copy import Content, Told, content, copy_rows, count, set_counters

PASSES = 3
"""How often each row is met: copied, read again here, read there."""
LIMITS = {
    "lock_timeout": "10s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",  # while rows are read here, nothing is said there
}
"""Of the target's transaction, whatever its server sets for others."""
ARRIVALS_CHECKED = ("audit_anchor", "audit_redaction", "audit_seal")
"""Tables whose new rows a trigger compares with others, which come in another order here, or are gone."""

Progress = Callable[[str, int, int], None]
"""Is called with what is being done, with how many rows more, and of how many in all."""


def sqlite_file(settings: Settings) -> URL:
    """Return the URL of the SQLite database of `settings`; raises DatabaseCopyError when there is none."""
    url = database_url(settings)
    if url.get_backend_name() != "sqlite":
        raise DatabaseCopyError(
            "The data are in PostgreSQL (CERTSYNC_DATABASE_URL); this command is for those in SQLite. "
            "PostgreSQL's own are pg_dump and pg_restore."
        )
    if not url.database or not Path(url.database).is_file():
        raise DatabaseCopyError(f"There is no database {url.database}; set CERTSYNC_DATA_DIR to where it is.")
    return url.set(drivername="sqlite")


def copy_database(source: URL, target: Settings, progress: Progress) -> dict[str, Content]:
    """Copy all rows of a SQLite database to an empty PostgreSQL, and return what each table of both holds.

    Nobody else may have the source open, and nobody can write to either meanwhile. The target gets its schema
    when it has none; its rows are committed at the end, when they were compared. A copy that is killed leaves
    no row.

    Raises:
        DatabaseCopyError: it cannot be done as things are, or the two sides differ; no row was kept.
    """
    tables = SQLModel.metadata.sorted_tables
    with _only_user(source) as here:
        _check_revision(here, "The SQLite database", "certsync migrate")
        _prepare(target)
        with _target(target) as there:
            total = PASSES * sum(count(here, table) for table in tables)

            def told(step: str) -> Told:
                return partial(_tell, progress, step, total)

            _empty_and_ours(there, tables)
            with _arrivals_unchecked(there):
                for table in tables:
                    copy_rows(here, _driver(there), table, told(f"Copying {table.name}"))
            contents = {
                table.name: _compared(here, there, table, told(f"Comparing {table.name}")) for table in tables
            }
            set_counters(here, there, tables)
            for table in tables:
                there.execute(sa.text(f'ANALYZE "{table.name}"'))
    return contents


@contextmanager
def _arrivals_unchecked(there: sa.Connection) -> Iterator[None]:
    """Let the audit trail come as it is: its triggers (migration 0008) check new rows by how it grows."""
    for table in ARRIVALS_CHECKED:
        there.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_insert"))
    yield
    for table in ARRIVALS_CHECKED:
        there.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER {table}_insert"))


def _tell(progress: Progress, step: str, total: int, rows: int) -> None:
    progress(step, rows, total)


def _compared(here: sa.Connection, there: sa.Connection, table: sa.Table, told: Told) -> Content:
    ours, theirs = content(here, table, told), content(there, table, told)
    if ours != theirs:
        raise DatabaseCopyError(
            f"The table {table.name} is not the same on both sides: {ours.rows:,} rows, checksum "
            f"{ours.checksum:032x} in SQLite; {theirs.rows:,} rows, checksum {theirs.checksum:032x} in "
            "PostgreSQL. Nothing was kept there. Please report this."
        )
    return ours


@contextmanager
def _only_user(url: URL) -> Iterator[sa.Connection]:
    """Yield a connection to a SQLite file that nobody else can open until it is closed."""
    engine = sa.create_engine(url, hide_parameters=True, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.connect() as connection:
            connection.begin()
            yield connection
    except sa.exc.OperationalError as error:
        if "locked" not in str(error.orig):
            told = str(error.orig).partition(" with text ")[0]  # what follows is the text
            raise DatabaseCopyError(f"The SQLite database cannot be read: {told}") from error
        raise DatabaseCopyError(
            "Another process has the SQLite database open. End every `certsync up`, `serve`, `worker` and "
            "`import` on it, then copy again."
        ) from error


def _prepare(target: Settings) -> None:
    """Give a target without any table the schema; refuse one with other tables, or of another version."""
    engine = sa.create_engine(database_url(target), hide_parameters=True, connect_args=CLIENT_LIMITS)
    try:
        with engine.connect() as connection:
            encoding = connection.execute(sa.text("SHOW server_encoding")).scalar_one()
            if encoding != "UTF8":
                raise DatabaseCopyError(
                    f"The target's encoding is {encoding}; create it with ENCODING 'UTF8' TEMPLATE template0."
                )
            if sa.inspect(connection).get_table_names():
                _check_revision(connection, "The target", "certsync migrate with its CERTSYNC_DATABASE_URL")
                return
        upgrade(target)
    except sa.exc.OperationalError as error:
        raise DatabaseCopyError(f"The target cannot be opened: {error.orig}") from error
    except sa.exc.ProgrammingError as error:
        raise DatabaseCopyError(
            f"The target cannot be set up: {error.orig}. The role has to own the database."
        ) from error
    finally:
        engine.dispose()


@contextmanager
def _target(target: Settings) -> Iterator[sa.Connection]:
    """Yield a connection in the one transaction that writes, committed at the end."""
    engine = sa.create_engine(database_url(target), hide_parameters=True, connect_args=CLIENT_LIMITS)
    try:
        with engine.begin() as connection:
            for limit in LIMITS.items():
                connection.execute(sa.func.set_config(*limit, True))
            yield connection
    except (sa.exc.DBAPIError, psycopg.Error) as error:
        failure = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        if not isinstance(failure, psycopg.Error):
            raise
        told = str(failure).partition("\n")[0]  # what follows may quote the row
        raise DatabaseCopyError(f"The target failed, and nothing was kept there: {told}") from error
    finally:
        engine.dispose()


def _empty_and_ours(there: sa.Connection, tables: list[sa.Table]) -> None:
    """Keep other writers out of the target; refuse one that has more than `certsync migrate` puts there."""
    names = ", ".join(f'"{table.name}"' for table in tables)
    try:
        there.execute(sa.text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
    except sa.exc.OperationalError as error:
        raise DatabaseCopyError(
            "Somebody is writing to the target. End the service, or other copy, that uses it."
        ) from error
    district: sa.Table = District.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
    untouched = (
        district.c.id == DEFAULT_DISTRICT,
        district.c.roster_version == 0,
        district.c.layout.is_(None),
        district.c.paused_since.is_(None),
    )
    filled = [table.name for table in tables if table is not district and count(there, table)]
    if not filled:
        there.execute(sa.delete(district).where(*untouched))
    if filled or count(there, district):
        raise DatabaseCopyError(
            f"The target has data: rows in {', '.join(filled or ['district'])}. Give an empty database."
        )


def _check_revision(connection: sa.Connection, whose: str, command: str) -> None:
    if MigrationContext.configure(connection).get_current_revision() != known_revisions()[0]:
        raise DatabaseCopyError(
            f"{whose} does not have this version's schema. Type {command}, or give an empty database."
        )


def _driver(connection: sa.Connection) -> psycopg.Connection:
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)
    return found
