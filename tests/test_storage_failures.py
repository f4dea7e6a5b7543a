"""A bucket that is away, silent, or refuses us: whatever is asked of it ends soon and changes nothing."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from app.constants import FileState, Role
from app.factory import Factory
from app.failures import StorageFailed
from app.models.base import utc_now
from app.services import run_reporting
from app.settings import Settings
from app.storage import object_store, run_reports
from app.storage.download_folder import key
from app.storage.file_store import RemoteObject
from app.storage.object_store import ObjectStore
from tests.support.api import problem, running_api
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
    save,
    select,
    succeed,
    write,
    write_file,
)
from tests.support.object_storage import PREFIX, Bucket, keys
from tests.support.openssh import OpenSshServer, free_port
from tests.support.sftp import key_target

SOON = 15.0
"""Seconds within which everything has to end here, where the limits are short."""


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "SILENCE", timedelta(seconds=0.5))
    monkeypatch.setattr(object_store, "ANSWER", 2.0)
    monkeypatch.setattr(object_store, "RETRIES", object_store.RETRIES | {"max_retries": 1})
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)


@pytest.fixture
def settings(tmp_path: Path, migrated_sqlite: Path, bucket: Bucket) -> Settings:
    shutil.copy(migrated_sqlite, tmp_path / "certsync.db")
    return bucket.settings(Settings(data_dir=tmp_path))


@pytest.fixture
async def well(settings: Settings) -> AsyncIterator[Factory]:
    """The service with a bucket that works, one employee and one imported licence."""
    factory = Factory(settings)
    await add_district(factory, DISTRICT)
    await factory.employees.put_all(DISTRICT, [employee("E1", "7", "Smith", "Ann")])
    await succeed(factory, write_file(settings.data_dir / "first", [row("7", "Smith", "Ann", "old")]))
    yield factory
    await factory.close()


@pytest.fixture(params=["down", "silent", "wrong secret", "no bucket"])
def fault(request: pytest.FixtureRequest, bucket: Bucket) -> Iterator[dict[str, Any]]:
    """What is set otherwise for a store that does not work."""
    match request.param:
        case "down":
            yield {"storage_endpoint": f"http://127.0.0.1:{free_port()}"}
        case "silent":
            with socket.create_server(("127.0.0.1", 0)) as server:  # connects, and never answers
                yield {"storage_endpoint": f"http://127.0.0.1:{server.getsockname()[1]}"}
        case "wrong secret":
            with bucket.server.accounts():
                yield {"storage_secret_access_key": SecretStr("s3cret")}
        case _:
            yield {"storage_url": "s3://no-such-bucket/x"}


@pytest.fixture
async def ill(well: Factory, fault: dict[str, Any]) -> AsyncIterator[Factory]:
    """The same service, with a store that does not work."""
    factory = Factory(well.settings.model_copy(update=fault))
    yield factory
    await factory.close()


@asynccontextmanager
async def nothing_changes(factory: Factory) -> AsyncIterator[None]:
    async def everything() -> tuple[Any, Any]:
        return await records(factory), await select(factory, sa.select(import_file))

    before = await everything()
    async with asyncio.timeout(SOON):
        yield
    assert await everything() == before
    assert list((factory.settings.data_dir / "downloads" / ".scratch").iterdir()) == []


async def test_a_new_file_is_not_imported(
    ill: Factory, well: Factory, tmp_path: Path, bucket: Bucket
) -> None:
    new = write_file(tmp_path / "new", [row("7", "Smith", "Ann", "new")], "20260201")
    async with nothing_changes(ill):
        run = await run_import(ill, new)
    assert (run.status, run.failure_code) == ("failed", "storage_error")
    assert "Nothing was changed" in (run.failure_message or "")
    assert "CERTSYNC_STORAGE_" in (run.failure_message or "")
    assert bucket.name not in (run.failure_message or "")
    assert run.replacing_since is None
    await succeed(well, new)
    assert [item["license_number"] for item in (await records(well))["certification"]] == ["new"]


async def test_a_refused_file_is_refused_for_its_own_reason(ill: Factory, tmp_path: Path) -> None:
    async with nothing_changes(ill):
        run = await run_import(ill, write_file(tmp_path / "bad", [["1"]]))
    assert (run.status, run.failure_code) == ("failed", "too_many_rejected_rows")


async def test_there_is_no_fallback_on_what_cannot_be_got(
    ill: Factory, openssh_server: OpenSshServer
) -> None:
    await save(ill, key_target(openssh_server, directory=str(openssh_server.new_directory())))
    async with nothing_changes(ill):
        run = await run_import(ill, None)
    assert (run.status, run.failure_code, run.file_name) == ("failed", "storage_error", None)


async def test_the_pdf_is_made_when_the_store_is_back(ill: Factory, well: Factory, tmp_path: Path) -> None:
    run = await run_import(ill, write_file(tmp_path / "bad", [["1"]]))
    assert (run.report_pdf, run.report_tries) == (None, 0)
    async with ill.database.read() as session:  # not at once: the next try is when its lease is over
        due = await run_reports.next_report(
            await session.connection(), utc_now(), timedelta(0), timedelta(minutes=1)
        )
    assert due is None
    async with ill.database.write() as session:
        await session.exec(sa.update(run_reports.run).values(report_tried_at=None))
    assert await ill.reporting.report_next(timedelta(0)) is None, (
        "imports go on, for other reports fail as well"
    )
    run_table = run_reports.run
    earlier = {"report_tried_at": utc_now() - timedelta(hours=1)}
    await write(well, sa.update(run_table).where(run_table.c.id == run.id).values(earlier))
    await execute(well, run.id)
    assert (await well.runs.get(DISTRICT, run.id)).report_pdf == f"{run.id}.pdf"


async def test_a_request_for_the_pdf_is_told_to_come_again(well: Factory, fault: dict[str, Any]) -> None:
    (run,) = await select(well, sa.select(run_reports.run))
    async with running_api(well.settings.model_copy(update=fault)) as api, asyncio.timeout(SOON):
        answer = await api.get(f"/runs/{run['id']}/report.pdf", district=DISTRICT)
        problem(answer, 503, "service-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert (await api.get(f"/runs/{run['id']}/report.json", district=DISTRICT)).status_code == 200
        health = (await api.get("/health/ready", role=Role.OPS, district="*")).json()
    assert health["status"] == "degraded"
    (storage,) = [part for part in health["components"] if part["name"] == "storage"]
    assert storage["status"] == "down"
    assert "cannot be read" in storage["detail"]
    assert "no answer within" not in storage["detail"]  # the store's own limit is below that of a check


async def test_what_cannot_be_removed_now_is_removed_later(
    well: Factory,
    ill: Factory,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logs: list[Any],
) -> None:
    (first,) = await select(well, sa.select(import_file))
    place = f"{PREFIX}/{key(DISTRICT, first['stored_as'], FileState.RETAINED)}"
    with monkeypatch.context() as patch:  # the store goes after the put
        patch.setattr(well.files, "remove", ill.files.remove)
        patch.setattr(well.files, "list", ill.files.list)
        run = await succeed(well, tmp_path / "first" / first["name"])  # again: its copy is superseded
    assert place in bucket.listed()
    assert {"stored_file_not_removed", "not_tidied"} <= {event["event"] for event in logs}
    assert (await select(well, sa.select(import_file)))[0]["stored_as"] != first["stored_as"]
    assert run.report_pdf, "a PDF does not wait for tidying"
    monkeypatch.setattr(run_reporting, "STRAY_AGE", timedelta(hours=-1))
    await succeed(well, tmp_path / "first" / first["name"])
    assert place not in bucket.listed()


@pytest.mark.parametrize("call", ["open", "remove", "list", "check", "put"])
async def test_every_call_has_a_limit_of_its_own(
    settings: Settings, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "SILENCE", timedelta(hours=1))
    monkeypatch.setattr(object_store, "ANSWER", 0.5)
    monkeypatch.setattr(object_store, "PROBE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = {
            "storage_endpoint": f"http://127.0.0.1:{server.getsockname()[1]}",
            "storage_transfer_timeout": 1.0,
        }
        store = ObjectStore(settings.model_copy(update=silent))
        (tmp_path / "x").write_bytes(b"x")
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "open": lambda: store.open("x"),
            "remove": lambda: store.remove("x"),
            "list": lambda: keys(store),
            "put": lambda: store.put(tmp_path / "x", "x"),
        }
        async with asyncio.timeout(SOON):
            if call == "check":
                assert "no answer in time" in await store.check()
                return
            with pytest.raises(StorageFailed, match="no answer in time"):
                await calls[call]()


HALF = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\nETag: x\r\n"
    b"Last-Modified: Mon, 05 Jan 2026 00:00:00 GMT\r\n\r\n"
)


async def test_a_store_that_falls_silent_in_a_download(settings: Settings) -> None:
    opened: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HALF + b"x" * 1_000_000)
        await reader.read()  # until the other side gives up

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, asyncio.timeout(SOON):
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await ObjectStore(settings.model_copy(update={"storage_endpoint": endpoint})).open("x")
        assert isinstance(found, RemoteObject)
        with pytest.raises(StorageFailed):
            _ = [chunk async for chunk in found.chunks]
        del found
        for writer in opened:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in opened), return_exceptions=True)


async def test_nothing_of_the_store_is_logged(
    ill: Factory, tmp_path: Path, bucket: Bucket, logs: list[Any]
) -> None:
    await run_import(ill, write_file(tmp_path / "new", [row("7", "Smith", "Ann", "new")], "20260201"))
    assert "storage_failed" in {event["event"] for event in logs}
    for told in (bucket.name, bucket.server.endpoint, "s3cret", "127.0.0.1"):
        assert told not in str(logs)
