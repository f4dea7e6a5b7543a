"""Brings the database's schema to what this version of the code needs."""

from functools import cache
from pathlib import Path

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database import Database
from app.errors import ConfigurationError
from app.settings import Settings

log = structlog.get_logger()

SCRIPTS = Path(__file__).parent.parent / "alembic"


def alembic_config(settings: Settings) -> Config:
    """Return Alembic's configuration for the database of `settings`."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["settings"] = settings
    return config


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Migrate to `revision`; does nothing when the schema is there already.

    Raises ConfigurationError when the database cannot be reached.
    """
    try:
        command.upgrade(alembic_config(settings), revision)
    except sa.exc.OperationalError as error:
        raise ConfigurationError(f"The database cannot be opened: {error.orig}") from error
    log.info("schema_migrated", revision=revision)


@cache
def newest_revision() -> str | None:
    """Return the revision that this version of the code was written for."""
    return ScriptDirectory(str(SCRIPTS)).get_current_head()


async def check_schema(database: Database) -> None:
    """Raise ConfigurationError, saying what to type, unless the database has this version's schema."""
    try:
        async with database.engine.connect() as connection:
            current = await schema_is_current(connection)
    except sa.exc.OperationalError as error:
        raise ConfigurationError(f"The database cannot be opened: {error.orig}") from error
    if not current:
        raise ConfigurationError("The database's schema is not this version's. Type: certsync migrate")


async def schema_is_current(connection: AsyncConnection) -> bool:
    """Tell whether the database is at `newest_revision`."""

    def current(sync: sa.Connection) -> str | None:
        return MigrationContext.configure(sync).get_current_revision()

    return await connection.run_sync(current) == newest_revision()
