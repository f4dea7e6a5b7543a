"""A backup taken at any moment of an import has the data before it or after it, and makes a service."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.constants import RunStatus
from app.errors import NotFoundError
from app.factory import Factory
from app.settings import Settings
from tests.support.backups import back_up, other_ways, restore
from tests.support.commands import certsync, refused, succeeded
from tests.support.copies import fill_every_table, url
from tests.support.halting_worker import BEFORE_COMMIT, POINTS
from tests.support.imports import DISTRICT, import_file, lists, records, run_import, select, succeed
from tests.support.lived_in import PASSWORD, edit_one, live_in
from tests.support.openssh import OpenSshServer
from tests.support.postgres import PostgresCluster
from tests.support.recovery import Deployment, deployed, imported
from tests.support.schedules import clock, scheduled, task_now, tick
from tests.support.sftp import key_target
from tests.support.table_rows import all_rows

# arq 0.28 closes its connection by a name that redis 5.3 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


@pytest.fixture
def restored(tmp_path: Path, postgres_cluster: PostgresCluster) -> Any:
    """Restore a backup as another host, however often."""
    made: list[Settings] = []

    def restore_to(settings: Settings, backup: Path) -> Settings:
        made.append(restore(settings, backup, tmp_path / f"host-{len(made)}", postgres_cluster))
        return made[-1]

    yield restore_to
    for settings in made:
        if settings.database_url:
            postgres_cluster.drop_database(url(settings))


async def test_a_backup_in_any_phase_is_old_or_new_and_its_runs_go_on(
    hasty: Deployment,
    openssh_server: OpenSshServer,
    tmp_path: Path,
    restored: Callable[[Settings, Path], Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = hasty.factory.settings.model_copy(update={"redis_url": None})
    worker = hasty.worker("worker", stale=60)  # nobody takes its runs over, however busy the machine is
    await hasty.add_districts(POINTS, openssh_server)
    await hasty.open(worker)
    for number, points in enumerate(hasty.rounds()):
        old = await hasty.contents(points)
        runs = await hasty.halt_all(points)
        backup, directory = tmp_path / f"backup-{number}", tmp_path / f"ways-{number}"
        directory.mkdir()
        back_up(settings, backup)
        ways = [backup, *other_ways(settings, directory)]
        before = what_stays(settings)
        hasty.go(points)
        for run in runs:
            await hasty.check_imported_once(await hasty.ended(run), attempt=1)
        for way in ways:
            assert what_stays(restored(settings, way)) == before

        copy = restored(settings, backup)
        async with another_host(copy, openssh_server, monkeypatch) as host:
            found = await host.contents(points)
            for point in points:
                if point in BEFORE_COMMIT:
                    assert without_xmin(found[point]) == without_xmin(old[point]), point
                else:
                    assert len(imported(found[point])) == 3
            for point in points:
                assert (await host.factory.audit_verification.verify(point)).is_intact
            await host.open(host.worker("next worker"))
            for point, run in zip(points, runs, strict=True):
                attempt = 2 if point in BEFORE_COMMIT else 1
                await host.check_imported_once(await host.ended(run), attempt)


@asynccontextmanager
async def another_host(
    settings: Settings, ssh: OpenSshServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Deployment]:
    async with asynccontextmanager(deployed)(
        settings, ssh, settings.data_dir, monkeypatch, hasty=True
    ) as host:
        yield host


def what_stays(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """All rows but those of runs, whose heartbeats go on, and of seals, which the worker makes meanwhile."""
    return {name: rows for name, rows in all_rows(settings).items() if name not in ("run", "audit_seal")}


def without_xmin(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """On PostgreSQL a restored row has another transaction number."""
    return {
        table: [{name: value for name, value in row.items() if name != "xmin"} for row in rows]
        for table, rows in found.items()
    }


async def test_a_restored_service_goes_on_where_the_backup_was(
    factory: Factory,
    tmp_path: Path,
    restored: Callable[[Settings, Path], Settings],
) -> None:
    path, task = await live_in(factory, tmp_path)
    reported = await succeed(factory, path)
    await edit_one(factory, "2033-06-30")
    back_up(factory.settings, tmp_path / "backup")
    due = (await task_now(factory, task)).next_run_at
    last = (await edit_one(factory, "2034-06-30")).version  # lost with the old host
    assert due is not None
    other = Factory(restored(factory.settings, tmp_path / "backup"))

    assert (await other.attempts.load(DISTRICT)).target.password.get_secret_value() == PASSWORD  # type: ignore[union-attr] # it has one
    assert (await edit_one(other, "2035-06-30")).version == last, "the sequence goes on after the backup"
    with clock((due + timedelta(days=9)).replace(tzinfo=None).isoformat()):
        await tick(other)
        await tick(other)
        waiting = [run for run in await scheduled(other, task) if run.status is RunStatus.WAITING]
        assert [run.slot for run in waiting] == [due, due + timedelta(days=10)], "nine slots make one run"
    await succeed(other, path)
    stable = await records(other)
    again = await succeed(other, path)
    assert await records(other) == stable
    with pytest.raises(NotFoundError, match="not stored any more"):
        await other.runs.pdf(DISTRICT, reported.id)
    assert "change" not in await lists(other, again)
    await other.close()


async def test_files_that_did_not_come_along_are_no_fallback_and_no_harm(
    factory: Factory,
    tmp_path: Path,
    restored: Callable[[Settings, Path], Settings],
    openssh_server: OpenSshServer,
) -> None:
    path, _ = await live_in(factory, tmp_path)
    back_up(factory.settings, tmp_path / "backup")
    other = Factory(restored(factory.settings, tmp_path / "backup"))
    target = key_target(openssh_server, directory=str(openssh_server.new_directory()))
    await other.connections.put(
        DISTRICT, "admin", {**asdict(target), "private_key": target.private_key}, None
    )
    retained = sa.select(import_file.c.stored_as).where(import_file.c.state == "retained")
    kept = await select(other, retained)
    assert kept
    before = await records(other)
    failed = await run_import(other, None)  # the state has no file, and ours is on the lost host
    assert failed.failure_code == "no_file"
    assert await records(other) == before

    await succeed(other, path)  # the same file again takes the place of the one that is lost
    [row] = await select(other, retained)
    assert row["stored_as"] != kept[0]["stored_as"]
    assert (await run_import(other, None)).file_reused
    await other.close()


def test_a_backup_is_complete_private_and_never_written_over(here: Settings, tmp_path: Path) -> None:
    fill_every_table(here)
    backup = tmp_path / "backups" / "certsync.db"
    refused(certsync(here.data_dir, "backup", str(backup)), "cannot be written: No such file or directory")
    backup.parent.mkdir()
    with sqlite3.connect(here.data_dir / "certsync.db", isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE district SET name = 'not committed'")
        told = succeeded(certsync(here.data_dir, "backup", str(backup)))
        writer.execute("COMMIT")
    writer.close()
    assert str(backup) in told
    assert backup.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in backup.parent.iterdir()] == [backup.name]
    copy = sqlite3.connect(backup)
    assert copy.execute("SELECT count(*) FROM district WHERE name = 'not committed'").fetchone() == (0,)
    assert copy.execute("SELECT count(*) FROM run_finding").fetchone() == (1,)
    copy.close()
    held = backup.read_bytes()
    refused(certsync(here.data_dir, "backup", str(backup)), "already")
    (tmp_path / "backups" / "second.part").touch()
    refused(certsync(here.data_dir, "backup", str(backup.parent / "second")), "was killed")
    assert backup.read_bytes() == held


def test_a_damaged_database_makes_no_backup(here: Settings, tmp_path: Path) -> None:
    fill_every_table(here)
    path = here.data_dir / "certsync.db"
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(content)
    refused(certsync(here.data_dir, "backup", str(tmp_path / "copy")), "The backup failed, and was removed")
    assert not list(tmp_path.glob("copy*"))


def test_a_backup_of_postgresql_is_its_own_business(there: Settings, tmp_path: Path) -> None:
    result = certsync(tmp_path, "backup", str(tmp_path / "copy"), CERTSYNC_DATABASE_URL=url(there))
    refused(result, "pg_dump")
