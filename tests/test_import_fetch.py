"""Whole runs over SFTP from a real OpenSSH server: success, fallback, retention, failures (I1, I2, I10)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.constants import FileState
from app.factory import Factory
from app.models import ConnectionEvent
from app.models.base import utc_now
from app.settings import Settings
from app.storage.download_folder import key
from tests.support.imports import (
    DISTRICT,
    NAME,
    USER,
    employee,
    import_file,
    lists,
    records,
    row,
    run_import,
    save,
    select,
    succeed,
    write,
    write_file,
)
from tests.support.object_storage import Bucket, content, keys
from tests.support.openssh import OpenSshServer, free_port
from tests.support.sftp import key_target

event = ConnectionEvent.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


@pytest.fixture(params=["directories", "bucket"])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Every test of this file with each kind of store."""
    if request.param == "directories":
        return settings
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket.settings(settings)


@pytest.fixture
def remote(openssh_server: OpenSshServer) -> Path:
    """The state's directory of the test's own."""
    return openssh_server.new_directory()


@pytest.fixture
async def connected(factory: Factory, openssh_server: OpenSshServer, remote: Path) -> Factory:
    """A district with one employee and a saved connection to `remote`."""
    await factory.employees.put_all(DISTRICT, [employee("E1", "7", "Smith", "Ann")])
    await save(factory, key_target(openssh_server, directory=str(remote)))
    return factory


def put(remote: Path, stamp: str, number: str = "L1") -> Path:
    path = write_file(remote, [row("7", "Smith", "Ann", number)], stamp)
    path.chmod(0o644)
    return path


async def stored(factory: Factory) -> list[str]:
    """Keys in the store; of what a run had on its host nothing is left."""
    scratch = factory.settings.data_dir / "downloads" / ".scratch"
    assert list(scratch.iterdir()) == []
    return sorted(await keys(factory.files))


async def held(factory: Factory) -> list[str]:
    return [item["license_number"] for item in (await records(factory))["certification"]]


async def files(factory: Factory, state: FileState = FileState.RETAINED) -> list[dict[str, Any]]:
    query = sa.select(import_file).where(import_file.c.state == state)
    return await select(factory, query.order_by(import_file.c.datestamp))


async def test_the_newest_file_is_imported(connected: Factory, remote: Path) -> None:
    put(remote, "20260105", "old")
    newest = put(remote, "20260201", "new")
    (remote / "README.txt").write_text("not a licence file")
    run = await succeed(connected, None)
    assert await held(connected) == ["new"]
    assert (run.file_name, run.file_reused, run.run_by) == (newest.name, False, USER)
    assert (run.file_size, run.file_datestamp) == (newest.stat().st_size, "2026-02-01T00:00:00")
    (kept,) = await files(connected)
    assert await stored(connected) == [key(DISTRICT, kept["stored_as"], FileState.RETAINED)]
    assert await content(connected.files, (await stored(connected))[0]) == newest.read_bytes()
    (seen,) = await select(connected, sa.select(event).where(event.c.run_id.is_not(None)))
    assert (seen["succeeded"], seen["phase"], seen["run_id"]) == (True, "download", run.id)
    assert (await lists(connected, run)).get("warning") is None


async def test_without_a_file_the_newest_retained_one_is_used(connected: Factory, remote: Path) -> None:
    paths = [put(remote, stamp, stamp) for stamp in ("20260105", "20260201")]
    await succeed(connected, None)
    paths[1].rename(remote / "done.csv")
    older = await succeed(connected, None)  # older than the last, imported with a warning
    assert "older than" in await warning(connected, older)
    assert await held(connected) == ["20260105"]

    paths[0].unlink()
    reused = await succeed(connected, None)
    assert (reused.file_reused, reused.file_name) == (True, paths[1].name)
    assert await held(connected) == ["20260201"]
    text = await warning(connected, reused)
    assert paths[1].name in text
    assert "retained" in text
    assert len(await files(connected)) == 2


async def warning(factory: Factory, run: Any) -> str:
    (found,) = (await lists(factory, run))["warning"]
    return str(found["text"])


async def test_no_file_at_all(connected: Factory, remote: Path) -> None:
    put(remote, "20260105").rename(remote / "licences.csv")
    run = await run_import(connected, None)
    assert (run.status, run.failure_code) == ("failed", "no_file")
    assert str(remote) in (run.failure_message or "")
    (seen,) = await select(connected, sa.select(event).where(event.c.run_id.is_not(None)))
    assert (seen["succeeded"], seen["phase"]) == (True, "list")
    assert run.error_log_encrypted is None


async def test_nothing_is_deleted_when_the_file_is_gone_and_none_is_retained(
    connected: Factory, remote: Path
) -> None:
    put(remote, "20260105").unlink()
    await succeed(connected, write_file(remote / "local", [row("7", "Smith", "Ann", "L5")]))
    await write(connected, sa.delete(import_file))
    run = await run_import(connected, None)
    assert (run.status, run.failure_code) == ("failed", "no_file")
    assert await held(connected) == ["L5"]


@pytest.mark.parametrize(
    ("change", "code", "phase"),
    [
        ({"fingerprint": "SHA256:" + "A" * 43}, "sftp_fingerprint_mismatch", "host_key"),
        ({"username": "certsync-nobody"}, "sftp_auth_failed", "authenticate"),
        ({"port": 0}, "sftp_unreachable", "connect"),
        ({"directory": "/no/such/place"}, "sftp_directory_not_found", "list"),
    ],
)
async def test_a_connection_that_fails_never_falls_back(
    connected: Factory,
    openssh_server: OpenSshServer,
    remote: Path,
    change: dict[str, Any],
    code: str,
    phase: str,
) -> None:
    put(remote, "20260105")
    await succeed(connected, None)
    before = await records(connected)
    if "port" in change:
        change = {"port": free_port()}
    await save(connected, key_target(openssh_server, **{"directory": str(remote), **change}))
    run = await run_import(connected, None)
    assert (run.status, run.failure_code, run.file_name) == ("failed", code, None)
    assert await records(connected) == before
    events = await select(connected, sa.select(event).where(event.c.run_id == run.id))
    assert [(e["succeeded"], e["phase"], e["failure_code"]) for e in events] == [(False, phase, code)]
    if code == "sftp_directory_not_found":
        assert run.error_log_encrypted is None  # the connection is good, the setting is not
        return
    assert run.error_log_encrypted
    assert openssh_server.host not in run.error_log_encrypted
    error_log = await connected.runs.error_log(DISTRICT, run.id)
    username = change.get("username", openssh_server.username)
    for fact in (
        "time: ",
        f"run_id: {run.id}",
        f"code: {code}",
        "host: 127.0.0.1",
        "port: ",
        f"phase: {phase}",
    ):
        assert fact in error_log
    key = openssh_server.private_key.splitlines()
    for secret in (username, *key[1:-1]):
        assert secret not in error_log
        assert secret not in repr(events)


async def test_without_a_connection(factory: Factory) -> None:
    run = await run_import(factory, None)
    assert (run.status, run.failure_code) == ("failed", "sftp_not_configured")


async def test_three_files_are_retained_by_datestamp_then_time(connected: Factory, tmp_path: Path) -> None:
    for stamp, number in (("20260105", "a"), ("20260301", "b"), ("20260201", "c"), ("20260201", "d")):
        await succeed(connected, write_file(tmp_path / number, [row("7", "Smith", "Ann", number)], stamp))
    await succeed(connected, tmp_path / "a" / NAME.format("20260105"))  # came last, and is the oldest
    names = [file["name"] for file in await files(connected)]
    assert names == [NAME.format(stamp) for stamp in ("20260201", "20260201", "20260301")]
    assert len(await stored(connected)) == 3
    await succeed(connected, write_file(tmp_path / "e", [row("7", "Smith", "Ann", "e")], "20260201"))
    known = [key(DISTRICT, file["stored_as"], FileState.RETAINED) for file in await files(connected)]
    assert sorted(known) == await stored(connected)
    contents = [(await content(connected.files, name)).decode() for name in known]
    assert sorted(text.splitlines()[1].split(",")[3] for text in contents) == ["b", "d", "e"]


async def test_the_same_file_again_is_one_file(connected: Factory, remote: Path) -> None:
    put(remote, "20260105")
    for _ in range(2):
        await succeed(connected, None)
    (kept,) = await files(connected)
    assert await stored(connected) == [key(DISTRICT, kept["stored_as"], FileState.RETAINED)]


async def test_a_refused_file_is_kept_for_a_week(connected: Factory, remote: Path, tmp_path: Path) -> None:
    bad = write_file(tmp_path, [row("none", "Smith", "Ann")], "20260105")
    await run_import(connected, bad)
    (aside,) = await files(connected, FileState.QUARANTINED)
    place = key(DISTRICT, aside["stored_as"], FileState.QUARANTINED)
    assert await content(connected.files, place) == bad.read_bytes()
    put(remote, "20260106")
    for days, there in ((6, True), (8, False)):
        then = utc_now() - timedelta(days=days)
        await write(
            connected,
            sa.update(import_file).where(import_file.c.id == aside["id"]).values(fetched_at=then),
        )
        await succeed(connected, None)
        assert (place in await stored(connected)) is there
        assert bool(await files(connected, FileState.QUARANTINED)) is there
