"""Runs migrations with an engine of their own: the application's would enforce foreign keys, and
rebuilding a table under that setting deletes the rows that point to it."""

from typing import Any

import sqlalchemy as sa
from alembic import context
from sqlmodel import SQLModel, sql

import app.models  # noqa: F401 - declares the tables
from app import row_security
from app.database_urls import migration_url
from app.settings import Settings

# The counter behind `version`, a sequence on PostgreSQL, which SQLite has not; and what is about the schema.
IGNORED_TABLES = {"resource_version", "schema_support"}

TABLE_WAIT = "300ms"


def render_item(type_: str, obj: Any, _autogen_context: Any) -> str | bool:
    """Write plain SQLAlchemy types into migrations, which then need no import of SQLModel."""
    if type_ == "type" and isinstance(obj, sql.sqltypes.AutoString):
        return f"sa.String(length={obj.length})"
    if type_ == "type" and isinstance(obj, sql.sqltypes.UTCDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def include_name(name: str | None, type_: str, _parents: Any) -> bool:
    """Leave out what migrations made by hand for one database alone."""
    return not (type_ == "table" and name in IGNORED_TABLES)


def explicit_transactions(engine: sa.Engine) -> None:
    """Let SQLite roll back schema changes too: its driver would commit before each of them."""

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def migrate(connection: sa.Connection) -> None:
    """Run the migrations on an open connection."""
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_item=render_item,
        include_name=include_name,
        render_as_batch=True,
        compare_type=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Several hosts may migrate at once; the second waits and finds nothing to do.
            connection.execute(
                sa.text("SELECT pg_advisory_xact_lock(hashtextextended('certsync/migrate', 0))")
            )
            # Requests queue up behind a change that waits for a table, so it gives up soon and is tried again
            # (`app.migrations`): before PostgreSQL looks for deadlocks, or a request could be their victim.
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{TABLE_WAIT}'"))
        role = context.config.attributes.get("service_role")
        if role is not None:
            row_security.check_role(connection, role)
        context.run_migrations()
        if role is not None:
            row_security.build(connection, role)


def run() -> None:
    """Open the database of the settings, or of the caller's, and migrate it."""
    settings = context.config.attributes.get("settings") or Settings()
    url = migration_url(settings)
    if url.get_backend_name() == "sqlite":
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        engine = sa.create_engine(url.set(drivername="sqlite"))
        explicit_transactions(engine)
    else:
        engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            migrate(connection)
            connection.commit()
    finally:
        engine.dispose()


run()
