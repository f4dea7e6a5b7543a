"""What an operator can set."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.cli.common import load_settings
from app.database import database_url
from app.errors import ConfigurationError
from app.settings import Settings


def test_default_database_is_sqlite_in_the_data_directory(tmp_path: Path) -> None:
    url = database_url(Settings(data_dir=tmp_path))
    assert (url.drivername, url.database) == ("sqlite+aiosqlite", str(tmp_path / "certsync.db"))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_postgresql_url_gets_the_driver_that_is_used(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("CERTSYNC_DATABASE_URL", f"{scheme}://user:secret@host/name")
    assert database_url(Settings()).drivername == "postgresql+psycopg"


@pytest.mark.parametrize("url", ["mysql://host/name", "not a url"])
def test_other_database_is_refused_without_showing_the_url(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CERTSYNC_DATABASE_URL", url)
    with pytest.raises(ConfigurationError, match="postgresql://") as caught:
        database_url(Settings())
    assert url not in str(caught.value)


def test_secret_from_a_file_yields_to_the_plain_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("postgresql://from-file/name\n")
    monkeypatch.setenv("CERTSYNC_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert database_url(Settings()).host == "from-file"
    monkeypatch.setenv("CERTSYNC_DATABASE_URL", "postgresql://plain/name")
    assert database_url(Settings()).host == "plain"


def test_missing_secret_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTSYNC_SECRET_KEY_FILE", "/nowhere/key")
    with pytest.raises(ValidationError, match="cannot read /nowhere/key"):
        Settings()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("DEFAULT_TIMEZONE", "Vermont", "America/New_York"),
        ("RETAINED_FILES", "0", "greater than or equal to 1"),
        ("MAX_REJECTED_PERCENT", "101", "less than or equal to 100"),
        ("ENVIRONMENT", "prod", "'development' or 'production'"),
    ],
)
def test_wrong_setting_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"CERTSYNC_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert f"CERTSYNC_{name}: " in str(caught.value)
    assert told in str(caught.value)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTSYNC_SECRET_KEY", "s3cret-" * 6)
    monkeypatch.setenv("CERTSYNC_DATABASE_URL", "postgresql://user:s3cret@host/name")
    assert "s3cret" not in repr(Settings())
