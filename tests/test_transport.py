"""What production says of connections that go over a network in clear."""

from pathlib import Path
from typing import Any

import pytest
import structlog

from app.settings import Settings
from app.transport import clear_connections, warn_of_clear_connections

CLEAR = {
    "database_url": "postgresql://certsync:s3cret@db.example/certsync",
    "redis_url": "redis://:s3cret@redis.example:6379/0",
    "storage_url": "s3://bucket",
    "storage_endpoint": "http://minio.example:9000",
    "syslog_address": "udp://siem.example:514",
}


def found(tmp_path: Path, **values: Any) -> list[str]:
    return [service for service, _ in clear_connections(Settings(data_dir=tmp_path, **values))]


def test_each_connection_in_clear_is_named_with_what_to_set(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, environment="production", **CLEAR)  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as logs:
        warn_of_clear_connections(settings)
    assert [entry["service"] for entry in logs] == ["database", "redis", "storage", "syslog"]
    assert all(entry["log_level"] == "warning" for entry in logs)
    assert "s3cret" not in str(logs)
    with structlog.testing.capture_logs() as logs:
        warn_of_clear_connections(settings.model_copy(update={"environment": "development"}))
    assert logs == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"database_url": f"{CLEAR['database_url']}?sslmode=verify-full"},
        {"database_url": "postgresql://certsync@127.0.0.1/certsync"},
        {"database_url": "postgresql:///certsync?host=/run/postgresql"},
        {"redis_url": "rediss://redis.example"},
        {"redis_url": "redis://[::1]:6379"},
        {"redis_url": "unix:///run/redis.sock"},
        {"redis_url": "rediss+sentinel://a.example:1,b.example:2/main"},
        {"storage_url": "s3://bucket", "storage_endpoint": "https://minio.example"},
        {"syslog_address": "tls://siem.example:6514"},
        {"syslog_address": "unix:///dev/log"},
        {"syslog_address": "udp://127.0.0.1:514"},
    ],
)
def test_what_is_encrypted_or_stays_on_the_machine_is_not(tmp_path: Path, values: dict[str, str]) -> None:
    assert found(tmp_path, **values) == []


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
def test_a_mode_that_does_not_look_at_the_certificate_is_named(tmp_path: Path, mode: str) -> None:
    assert found(tmp_path, database_url=f"{CLEAR['database_url']}?sslmode={mode}") == ["database"]


def test_one_of_several_sentinels_is_enough(tmp_path: Path) -> None:
    url = "redis+sentinel://127.0.0.1:26379,b.example:26379/main"
    assert found(tmp_path, redis_url=url) == ["redis"]


def test_the_mode_may_come_from_the_variable_of_libpq(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert found(tmp_path, database_url=CLEAR["database_url"]) == []


@pytest.mark.parametrize("name", ["PGHOST", "PGHOSTADDR"])
def test_the_host_may_come_from_the_variable_of_libpq(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert found(tmp_path, database_url="postgresql:///certsync") == []
    monkeypatch.setenv(name, "192.0.2.7")
    assert found(tmp_path, database_url="postgresql:///certsync") == ["database"]
    assert found(tmp_path, database_url="postgresql://localhost/certsync") == (
        [] if name == "PGHOST" else ["database"]
    )
