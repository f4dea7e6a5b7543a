"""Where the database is, by the settings."""

from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.errors import ConfigurationError
from app.settings import Settings


def database_url(settings: Settings) -> URL:
    """Return the URL of the database with the driver that this service uses.

    PostgreSQL is given as `postgresql://…` (or `postgres://…`); without a setting it is SQLite in
    `DATA_DIR`. Raises ConfigurationError for any other scheme.
    """
    if settings.database_url is None:
        return URL.create("sqlite+aiosqlite", database=str((settings.data_dir / "certsync.db").absolute()))
    return _read_url("CERTSYNC_DATABASE_URL", settings.database_url)


def migration_url(settings: Settings) -> URL:
    """Return the URL with which the schema is changed; that of the database unless it has a role of its own.

    Raises ConfigurationError as `database_url` does, and when such a role is given for SQLite.
    """
    service = database_url(settings)
    if settings.migration_database_url is None:
        return service
    url = _read_url("CERTSYNC_MIGRATION_DATABASE_URL", settings.migration_database_url)
    if {url.get_backend_name(), service.get_backend_name()} != {"postgresql"}:
        raise ConfigurationError(
            "CERTSYNC_MIGRATION_DATABASE_URL is for PostgreSQL: give CERTSYNC_DATABASE_URL too, for the same "
            "database, with the role of the service"
        )
    return url


def _read_url(name: str, secret: SecretStr) -> URL:
    try:
        url = make_url(secret.get_secret_value())
    except ArgumentError as error:
        raise ConfigurationError(
            f"{name} cannot be read; give postgresql://user:password@host:5432/name"
        ) from error
    drivers = {
        "postgresql": "postgresql+psycopg",
        "postgres": "postgresql+psycopg",
        "sqlite": "sqlite+aiosqlite",
    }
    dialect = url.drivername.split("+")[0]
    if dialect not in drivers:
        raise ConfigurationError(f"{name} names {dialect!r}; give postgresql://… or leave it out for SQLite")
    return url.set(drivername=drivers[dialect])
