"""Two hosts with one database and one bucket: what one of them leaves, the other works with."""

import asyncio
import shutil
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from app.constants import FileState, RunKind
from app.database_urls import database_url
from app.factory import Factory
from app.failures import TooMuchShrink
from app.pipeline.run import ImportRun
from app.services import run_reporting
from app.services.runs import RunOptions
from app.settings import Settings
from app.storage.download_folder import key
from tests.support.api import running_api
from tests.support.imports import (
    DISTRICT,
    add_district,
    employee,
    empty_pdf,
    execute,
    import_file,
    records,
    row,
    run_import,
    run_table,
    save,
    select,
    start,
    succeed,
    write,
    write_file,
)
from tests.support.object_storage import PREFIX, Bucket, content
from tests.support.openssh import OpenSshServer
from tests.support.sftp import key_target

PDF = b"%PDF"


@pytest.fixture
def settings(settings: Settings, bucket: Bucket) -> Settings:
    """Of the first host; the keys are set, as in production, since each host would make its own."""
    key = SecretStr(b64encode(bytes(range(32))).decode())
    return bucket.settings(settings, secret_key=SecretStr("k" * 32), encryption_keys=[key])


@pytest.fixture
async def first(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Factory]:
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)
    factory = Factory(settings)
    await add_district(factory, DISTRICT)
    await factory.employees.put_all(DISTRICT, [employee("E1", "7", "Smith", "Ann")])
    yield factory
    await factory.close()


@pytest.fixture
async def second(first: Factory, tmp_path: Path) -> AsyncIterator[Factory]:
    factory = Factory(elsewhere(first.settings, tmp_path / "second"))
    yield factory
    await factory.close()


def elsewhere(settings: Settings, data_dir: Path) -> Settings:
    """The settings of another host of the same instance."""
    url = database_url(settings).render_as_string(hide_password=False)
    return settings.model_copy(update={"data_dir": data_dir, "database_url": SecretStr(url)})


def lose_files(factory: Factory) -> None:
    """Nothing that a host has for itself may be needed by another."""
    for name in ("downloads", "reports"):
        shutil.rmtree(factory.settings.data_dir / name, ignore_errors=True)


async def held(factory: Factory) -> list[str]:
    return [item["license_number"] for item in (await records(factory))["certification"]]


async def test_the_second_host_falls_back_on_what_the_first_retained(
    first: Factory, second: Factory, openssh_server: OpenSshServer, bucket: Bucket
) -> None:
    remote = openssh_server.new_directory()
    await save(first, key_target(openssh_server, directory=str(remote)))
    file = write_file(remote, [row("7", "Smith", "Ann", "L1")])
    file.chmod(0o644)
    run = await succeed(first, None)
    text, report = file.read_bytes(), f"reports/{run.id}.pdf"
    (kept,) = await select(first, sa.select(import_file))
    stored = key(DISTRICT, kept["stored_as"], FileState.RETAINED)
    assert bucket.listed() == {f"{PREFIX}/{name}" for name in (stored, report)}
    assert await content(first.files, stored) == text
    assert first.runs.pdf_address(run) == f"s3://{bucket.name}/{PREFIX}/{report}"
    lose_files(first)
    file.unlink()

    again = await succeed(second, None)
    assert (again.file_reused, again.file_sha256) == (True, run.file_sha256)
    assert await held(second) == ["L1"]
    assert list((second.settings.data_dir / "downloads" / ".scratch").iterdir()) == []
    async with running_api(second.settings) as api:
        answer = await api.get(f"/runs/{run.id}/report.pdf", district=DISTRICT)
    assert (answer.status_code, answer.content) == (200, PDF)
    assert answer.headers["content-length"] == str(len(PDF))
    assert answer.headers["content-type"] == "application/pdf"
    assert f"import-report-{run.id}.pdf" in answer.headers["content-disposition"]


async def test_a_changed_object_is_not_imported_but_the_next_one(
    first: Factory, second: Factory, openssh_server: OpenSshServer, bucket: Bucket, tmp_path: Path
) -> None:
    await save(first, key_target(openssh_server, directory=str(openssh_server.new_directory())))
    for stamp in ("20260105", "20260201"):
        await succeed(first, write_file(tmp_path / stamp, [row("7", "Smith", "Ann", stamp)], stamp))
    newest = (await select(first, sa.select(import_file).order_by(import_file.c.datestamp.desc())))[0]
    name = key(DISTRICT, newest["stored_as"], FileState.RETAINED)
    forged = (await content(first.files, name)).replace(b"20260201", b"20990201")
    bucket.write(f"{PREFIX}/{name}", forged)
    run = await succeed(second, None)
    assert (run.file_reused, run.file_datestamp) == (True, "2026-01-05T00:00:00")
    assert await held(second) == ["20260105"]


async def test_a_run_goes_on_at_the_other_host(
    first: Factory,
    second: Factory,
    openssh_server: OpenSshServer,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remote = openssh_server.new_directory()
    await save(first, key_target(openssh_server, directory=str(remote)))
    write_file(remote, [row("7", "Smith", "Ann", "L1")]).chmod(0o644)
    run = await start(first)
    await write(first, sa.update(run_table).where(run_table.c.id == run.id).values(from_disk=False))
    reached = asyncio.Event()

    async def stay(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(ImportRun, "_replace", stay)
        execution = asyncio.create_task(execute(first, run.id))
        await asyncio.wait_for(reached.wait(), 60)
        assert len(bucket.listed()) == 1  # before anybody is kept out by the replace
        execution.cancel()
        with pytest.raises(asyncio.CancelledError):
            await execution
    lose_files(first)

    monkeypatch.setattr(run_reporting, "STRAY_AGE", timedelta(hours=-1))
    await execute(second, run.id)
    ended = await second.runs.get(DISTRICT, run.id)
    assert ended.status == "succeeded"
    (kept,) = await select(second, sa.select(import_file))
    stored = key(DISTRICT, kept["stored_as"], FileState.RETAINED)
    assert bucket.listed() == {f"{PREFIX}/{name}" for name in (stored, f"reports/{run.id}.pdf")}


async def test_a_preview_and_a_file_without_a_date_leave_nothing(
    first: Factory, bucket: Bucket, tmp_path: Path
) -> None:
    dated = write_file(tmp_path, [row("7", "Smith", "Ann")])
    run = await first.runs.start_local(DISTRICT, "a preview", "me", RunOptions(RunKind.PREVIEW))
    await execute(first, run.id, dated)
    assert (await first.runs.get(DISTRICT, run.id)).status == "succeeded"
    unnamed = await succeed(first, dated.rename(tmp_path / "licences.csv"))
    assert bucket.listed() == {f"{PREFIX}/reports/{each.id}.pdf" for each in (run, unnamed)}


async def test_a_file_refused_at_the_last_moment_lies_in_quarantine_alone(
    first: Factory, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise TooMuchShrink("too many")

    monkeypatch.setattr(ImportRun, "_replace", refuse)  # as when people moved while it waited
    run = await run_import(first, write_file(tmp_path, [row("7", "Smith", "Ann")]))
    assert (run.status, run.failure_code) == ("failed", "too_much_shrink")
    (kept,) = await select(first, sa.select(import_file))
    stored = key(DISTRICT, kept["stored_as"], FileState.QUARANTINED)
    assert bucket.listed() == {f"{PREFIX}/{name}" for name in (stored, f"reports/{run.id}.pdf")}
