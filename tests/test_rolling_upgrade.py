"""A rolling upgrade: the schema is migrated while the release before goes on serving."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from app import migrations
from app.errors import ConfigurationError
from app.settings import Settings
from tests.support.processes import until
from tests.support.service import Service, running_service
from tests.support.table_rows import sync_engine

EXPANDS = """
import sqlalchemy as sa
from alembic import op

revision = "9998"
down_revision = "{head}"

def upgrade():
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))
    for table in ("employee", "certification", "run", "task", "district"):
        op.add_column(table, sa.Column("later", sa.Integer(), nullable=True))
        op.add_column(table, sa.Column("filled", sa.Integer(), nullable=False, server_default="7"))
"""
CONTRACTS = """
from alembic import op

revision = "9999"
down_revision = "9998"

def upgrade():
    op.execute("UPDATE schema_support SET oldest_revision = '9998'")
"""
INACTIVE = {"description": "Licences", "status": "inactive", "timezone": "America/New_York"}


@pytest.fixture
def later(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the migrations of a later release; services in processes of their own lack them.

    The database has the schema of this one still.
    """
    assert settings
    head = migrations.known_revisions()[0]
    scripts = tmp_path / "later"
    shutil.copytree(migrations.SCRIPTS, scripts)
    (scripts / "versions" / "9998_expands.py").write_text(EXPANDS.format(head=head))
    (scripts / "versions" / "9999_contracts.py").write_text(CONTRACTS)
    monkeypatch.setattr(migrations, "SCRIPTS", scripts)


@contextmanager
def requests(service: Service) -> Iterator[list[str]]:
    """Read and write all the time from several threads; yields what went wrong."""
    wrong: list[str] = []
    done = threading.Event()
    counts = [0] * 4

    def ask(number: int) -> None:
        while not done.is_set():
            person = {"last_name": f"Smith {counts[number]}", "first_name": "Ann", "status": "active"}
            for method, path, body in (
                ("PUT", f"/api/v1/employees/E{number}", person),
                ("GET", f"/api/v1/employees/E{number}", None),
                ("GET", "/api/v1/runs", None),
                ("GET", "/health/ready", None),
            ):
                response = service.http.request(method, path, json=body)
                if response.status_code not in (200, 201) or '"unavailable"' in response.text:
                    wrong.append(f"{method} {path}: {response.status_code} {response.text}")
            counts[number] += 1

    threads = [threading.Thread(target=ask, args=[number]) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(counts))
        yield wrong
        before = list(counts)
        # Six more rounds each: psycopg prepares a statement when it has been asked five times.
        until(lambda: all(now > then + 6 for now, then in zip(counts, before, strict=True)), 60)
    finally:
        done.set()
        for thread in threads:
            thread.join()


def refusal(service: Service, *command: str) -> str:
    """Return what a command of the running release says that will not work on the schema."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        service.certsync(*command)
    return str(refused.value.stderr)


@pytest.mark.usefixtures("later")
def test_the_release_before_serves_on_until_its_support_ends(settings: Settings) -> None:
    url = {"CERTSYNC_DATABASE_URL": settings.database_url.get_secret_value()} if settings.database_url else {}
    with running_service(settings.data_dir, **url) as service:
        service.login("--user", "kmarsh", "--role", "admin")
        task = service.call("POST", "/tasks", INACTIVE, 201)
        with requests(service) as wrong:
            migrations.upgrade(settings, "9998")
        assert wrong == []
        run = service.call("POST", f"/tasks/{task['id']}/run", status=202)
        assert service.ended_run(run["id"])["failure"]["code"] == "sftp_not_configured"
        service.certsync("migrate")  # whoever starts the release before finds nothing to do
        assert "default" in service.certsync("districts", "list")

        migrations.upgrade(settings)
        answer = service.http.get("/health/ready")
        assert answer.status_code == 503
        assert "does not support this one" in answer.text
        for command in (["migrate"], ["worker"], ["serve"]):
            assert "does not support this one" in refusal(service, *command)


@contextmanager
def in_use(settings: Settings) -> Iterator[sa.Connection]:
    """Hold what a migration of employees needs, as a long import does; until it is rolled back."""
    engine = sync_engine(settings)
    with engine.connect() as connection:
        sqlite = settings.database_url is None
        connection.execute(sa.text("BEGIN IMMEDIATE" if sqlite else "SELECT * FROM employee"))
        yield connection
    engine.dispose()


@pytest.mark.usefixtures("later")
def test_a_table_in_use_is_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    with in_use(settings) as connection:

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            connection.rollback()

        monkeypatch.setattr("app.migrations.time.sleep", pause)
        migrations.upgrade(settings)
    assert pauses == [migrations.LOCK_PAUSE]


@pytest.mark.usefixtures("later")
def test_a_table_that_stays_in_use_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "LOCK_TRIES", 1)
    with in_use(settings), pytest.raises(ConfigurationError, match="in use all the time"):
        migrations.upgrade(settings)


def supported_since(revision: str, settings: Settings) -> str:
    migrations.upgrade(settings, revision)
    engine = sync_engine(settings)
    with engine.connect() as connection:
        oldest: str = connection.execute(sa.text("SELECT oldest_revision FROM schema_support")).scalar_one()
    engine.dispose()
    return oldest


def columns(settings: Settings) -> dict[tuple[str, str], tuple[str, bool, bool]]:
    """Return (type, whether it may be null, whether it has a default) of every column."""
    engine = sync_engine(settings)
    inspector = sa.inspect(engine)
    found = {
        (table, column["name"]): (str(column["type"]), column["nullable"], column["default"] is not None)
        for table in inspector.get_table_names()
        for column in inspector.get_columns(table)
    }
    engine.dispose()
    return found


def test_a_migration_only_adds_unless_it_ends_the_support_of_releases_before(empty: Settings) -> None:
    """What the release before writes goes on working: nothing it knows is changed, nothing new is a must."""
    scripts = ScriptDirectory(str(migrations.SCRIPTS))
    revisions = [script.revision for script in reversed(list(scripts.walk_revisions()))]
    for before, after in pairwise(revisions):
        if after < "0004":  # of a time before there was a release to support
            continue
        migrations.upgrade(empty, before)
        old = columns(empty)
        if supported_since(after, empty) == after:
            continue
        new = columns(empty)
        assert old.items() <= new.items(), after
        for (table, column), (_, nullable, has_default) in new.items() - old.items():
            is_new_table = not any(known == table for known, _ in old)
            assert is_new_table or nullable or has_default, f"{after}: {table}.{column}"
