"""What an operator can set."""

import os
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.cli.common import load_settings
from app.database_urls import database_url
from app.errors import ConfigurationError
from app.settings import Settings
from app.settings.values import exposure


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


def file_of(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner"),
    [
        (0o400, 10001),  # docs/deploy.md, for compose.yaml
        (0o600, 10001),
        (0o400, 0),
        (0o440, 0),  # fsGroup of Kubernetes; a credential of systemd, whose access list shows itself so
        (0o640, 0),
    ],
)
def test_a_private_file_may_hold_a_secret(mode: int, owner: int) -> None:
    assert exposure(file_of(mode, owner), 10001) == ""


@pytest.mark.parametrize(
    ("mode", "owner", "told"),
    [
        (0o644, 0, "chmod 400"),
        (0o444, 0, "chmod 400"),  # a secret of Docker Swarm, unless its mode is given
        (0o604, 10001, "chmod 400"),
        (0o602, 10001, "chmod 400"),
        (0o440, 10001, "chmod 400"),
        (0o460, 0, "chmod 400"),
        (0o400, 10002, "chown 10001"),
    ],
)
def test_a_file_that_others_can_use_may_not(mode: int, owner: int, told: str) -> None:
    assert told in exposure(file_of(mode, owner), 10001)


SECRETS = [
    "DATABASE_URL",
    "MIGRATION_DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "ENCRYPTION_KEYS",
    "STORAGE_ACCESS_KEY_ID",
    "STORAGE_SECRET_ACCESS_KEY",
]


@pytest.mark.parametrize("name", SECRETS)
def test_production_refuses_an_open_file_of_each_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "secret"
    path.write_text("Gr4nite")
    path.chmod(0o644)
    monkeypatch.setenv(f"CERTSYNC_{name}_FILE", str(path))
    monkeypatch.setenv("CERTSYNC_STORAGE_URL", "s3://bucket")
    Settings(environment="development")
    monkeypatch.setenv("CERTSYNC_ENVIRONMENT", "production")
    with pytest.raises(ConfigurationError, match=f"CERTSYNC_{name}_FILE: .*chmod 400") as caught:
        load_settings()
    assert "Gr4nite" not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.__cause__}"
    path.chmod(0o400)
    Settings()


def test_every_secret_setting_is_among_them() -> None:
    """By its type, which is what keeps it out of logs; a file that holds no secret may be open."""
    secret = {
        name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in repr(field.annotation)
    }
    assert secret == set(SECRETS)


def test_the_file_that_is_looked_at_is_the_one_behind_a_link(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Kubernetes mounts a secret as links, whose own mode is 0777."""
    (tmp_path / "data").write_text("a secret")
    (tmp_path / "data").chmod(0o400)
    (tmp_path / "link").symlink_to("data")
    monkeypatch.setenv("CERTSYNC_REDIS_URL_FILE", str(tmp_path / "link"))
    Settings(environment="production")


def test_what_is_not_text_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfeGr4nite")
    monkeypatch.setenv("CERTSYNC_SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ValidationError, match="is not text in UTF-8") as caught:
        Settings()
    assert "Gr4nite" not in str(caught.value)


def test_a_fault_elsewhere_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A validator of the whole is given everything, and its error would show that."""
    monkeypatch.setenv("CERTSYNC_SECRET_KEY", "Gr4nite")
    monkeypatch.setenv("CERTSYNC_STORAGE_REGION", "us-east-1")
    with pytest.raises(ValidationError, match="STORAGE_URL is missing") as caught:
        Settings()
    assert "Gr4nite" not in f"{caught.value}{caught.value!r}"
