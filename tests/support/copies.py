"""An instance on SQLite and the PostgreSQL that it is copied to."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlmodel import SQLModel

from app.cli.main import prepare_database
from app.settings import Settings
from tests.support.commands import certsync, succeeded
from tests.support.table_rows import admit_any_row, sync_engine, values_of


@pytest.fixture
def here(migrated_sqlite: Path, tmp_path: Path) -> Settings:
    """A newcomer's instance on SQLite, with the default district."""
    shutil.copy(migrated_sqlite, tmp_path / "certsync.db")
    settings = Settings(data_dir=tmp_path)
    prepare_database(settings)
    return settings


@pytest.fixture
def there(here: Settings, postgres_url: str) -> Settings:
    """The same instance on an empty PostgreSQL."""
    return here.model_copy(update={"database_url": SecretStr(postgres_url)})


def url(settings: Settings) -> str:
    """Return the address of a PostgreSQL."""
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


def copied(here: Settings, there: Settings) -> str:
    """Copy, and return what was told."""
    return succeeded(certsync(here.data_dir, "copy-to", url(there)))


def fill_every_table(settings: Settings) -> None:
    """Add one row to each table."""
    engine = sync_engine(settings)
    with engine.begin() as connection:
        admit_any_row(connection)
        for table in SQLModel.metadata.sorted_tables:
            connection.execute(sa.insert(table).values(values_of(table)))
    engine.dispose()
