"""Brings the database's schema to what this version of the code needs."""

import time
from functools import cache
from pathlib import Path

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncConnection

from app import row_security
from app.database import CLIENT_LIMITS, Database, is_lock_timeout
from app.database_urls import database_url, migration_url
from app.errors import ConfigurationError
from app.reach import nowhere
from app.settings import Settings

log = structlog.get_logger()

SCRIPTS = Path(__file__).parent.parent / "alembic"
LOCK_TRIES = 60
LOCK_PAUSE = 1.0
"""Seconds between two tries: who waits for a table keeps those out who come after, so no try takes long."""


def alembic_config(settings: Settings) -> Config:
    """Return Alembic's configuration for the database of `settings`."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["settings"] = settings
    return config


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Migrate to `revision`; does nothing when the schema is there already.

    Several hosts may do so at once. The service may go on meanwhile: a table that is in use is waited for
    a little and often (`alembic/env.py`). The schema of a later release is left alone. With a role of its own
    for migrations, the service's gets its rights and its row-level security. Raises ConfigurationError when
    the database cannot be reached, a table is in use all the time, or a role may not do what it has to.
    """
    config = alembic_config(settings)
    config.attributes["service_role"] = _service_role(settings)
    for number in range(1, LOCK_TRIES + 1):
        try:
            command.upgrade(config, revision)
        except sa.exc.OperationalError as error:
            if not is_lock_timeout(error):
                raise ConfigurationError(f"The database cannot be opened: {error.orig}") from error
            if number == LOCK_TRIES:
                raise ConfigurationError(
                    "A table is in use all the time, so that it cannot be changed. Nothing was changed. "
                    "Type certsync migrate again when no large import goes on."
                ) from error
            log.info("migration_waits", attempt=number)
            time.sleep(LOCK_PAUSE)
        except sa.exc.ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) != row_security.INSUFFICIENT_PRIVILEGE:
                raise
            raise ConfigurationError(
                f"The schema may not be changed ({error.orig}). Give certsync migrate the role that owns the "
                "tables, as CERTSYNC_MIGRATION_DATABASE_URL."
            ) from error
        except CommandError:  # of a revision that is not among our scripts
            log.info("schema_not_migrated", reason="it is a later release's")
            return
        else:
            log.info("schema_migrated", revision=revision)
            return


def _service_role(settings: Settings) -> str | None:
    """Return the role of the service when migrations have another; raises ConfigurationError."""
    if settings.migration_database_url is None:
        return None
    migration_url(settings)  # refuses SQLite, which the engine here has no driver for
    engine = sa.create_engine(
        database_url(settings), hide_parameters=True, connect_args=CLIENT_LIMITS, poolclass=sa.NullPool
    )
    try:
        with engine.connect() as connection:
            return str(connection.execute(sa.text("SELECT current_user")).scalar_one())
    except sa.exc.OperationalError as error:
        raise ConfigurationError(
            f"The database cannot be opened by the role of the service: {error.orig}. An administrator makes "
            f"such a role with: {row_security.SUCH_A_ROLE}"
        ) from error


@cache
def known_revisions() -> tuple[str, ...]:
    """Return the revisions of the schema that this release knows; the first is the one it is written for."""
    return tuple(script.revision for script in ScriptDirectory(str(SCRIPTS)).walk_revisions())


async def check_schema(database: Database) -> None:
    """Raise ConfigurationError, saying what to do, unless this release can work on the database's schema.

    The wall between districts is a part of it, where there is one.
    """
    try:
        with nowhere():
            async with database.engine.connect() as connection:
                if not database.is_sqlite:
                    await row_security.check_wall(connection)
                fault = await schema_fault(connection)
    except sa.exc.OperationalError as error:
        raise ConfigurationError(f"The database cannot be opened: {error.orig}") from error
    if fault:
        raise ConfigurationError(fault)


async def schema_fault(connection: AsyncConnection) -> str:
    """Return what is to be done before this release can work on the schema; empty when it can.

    It can on its own schema, and on that of a later release which has not taken away what this one needs:
    so the processes of the release before go on while a rolling upgrade has migrated already.
    """
    current = await connection.run_sync(_current_revision)
    if current == known_revisions()[0]:
        return ""
    if current is None or current in known_revisions():
        return "The database's schema is older than this release. Type: certsync migrate"
    oldest = await connection.execute(sa.text("SELECT oldest_revision FROM schema_support"))
    if oldest.scalar_one() in known_revisions():
        return ""
    return (
        "The database's schema is a later release's, which does not support this one. Install that release."
    )


def _current_revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
