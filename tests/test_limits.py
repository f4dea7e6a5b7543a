"""What is silent, slow or too much is given up, and nothing is kept from others by it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from app import database
from app.constants import FindingKind
from app.database import take_guard
from app.errors import ServiceUnavailableError
from app.factory import Factory
from app.models.base import utc_now
from app.pipeline.pdf import PdfFailed
from app.services import run_events, run_reporting
from app.services.run_reporting import report_lease
from app.storage import run_findings
from tests.support.api import Api, problem
from tests.support.imports import DISTRICT, employee, empty_pdf, execute, row, start, succeed, write_file
from tests.support.processes import until_async
from tests.support.runs import ended_run, waiting_run
from workers.sweep import sweep

ANN = employee("E1", "7", "Smith", "Ann")
IDLE = "idle_in_transaction_session_timeout"


@pytest.fixture
async def postgres(factory: Factory) -> Factory:
    """The service; what concerns the limits of a server is not SQLite's."""
    await factory.employees.put_all(DISTRICT, [ANN])
    return factory


async def shown(connection: Any, name: str) -> str:
    return str((await connection.execute(sa.text(f"SHOW {name}"))).scalar_one())


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_every_transaction_has_its_limits(postgres: Factory) -> None:
    engine = postgres.database.engine
    async with engine.connect() as connection:
        assert await shown(connection, IDLE) == "30s"
        assert await shown(connection, "lock_timeout") == "30s"
        await take_guard(connection, DISTRICT, shared=False)
        assert (await shown(connection, IDLE), await shown(connection, "statement_timeout")) == ("8s", "20s")
        await connection.rollback()
        assert await shown(connection, IDLE) == "30s"
    async with postgres.editing.transaction(DISTRICT) as session:
        assert await shown(await session.connection(), IDLE) == database.EDIT_IDLE


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_an_edit_that_falls_silent_is_ended_and_may_be_sent_again(
    postgres: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "EDIT_IDLE", "100ms")
    with pytest.raises(ServiceUnavailableError):
        await fall_silent_in_an_edit(postgres)


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_a_statement_that_takes_too_long_may_be_sent_again(postgres: Factory) -> None:
    async def take_long() -> None:
        async with postgres.database.write() as session:
            connection = await session.connection()
            await connection.execute(sa.text("SET LOCAL statement_timeout = '50ms'"))
            await connection.execute(sa.text("SELECT pg_sleep(60)"))

    with pytest.raises(ServiceUnavailableError):
        await take_long()


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_who_is_ended_for_a_deadlock_may_try_again(postgres: Factory) -> None:
    locked = asyncio.Barrier(2)

    async def lock(*keys: int) -> None:
        async with postgres.database.write() as session:
            connection = await session.connection()
            for key in keys:
                await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
                if key == keys[0]:
                    await locked.wait()

    ends = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert [type(end) for end in ends if end] == [ServiceUnavailableError]


async def fall_silent_in_an_edit(factory: Factory) -> None:
    """Wait in an edit's transaction until the server has ended it, and go on."""
    alive = sa.text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    async with factory.editing.transaction(DISTRICT) as session:
        connection = await session.connection()
        pid = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
        async with factory.database.engine.connect() as watcher, asyncio.timeout(20):
            while (await watcher.execute(alive, {"pid": pid})).scalar_one():
                await watcher.rollback()
        await connection.execute(sa.text("SELECT 1"))


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_a_replace_outwaits_a_writer_of_employees(
    postgres: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    monkeypatch.setattr(database, "GUARD_WAIT", "200ms")

    def waits() -> int:
        return sum(event["event"] == "guard_waited_for" for event in logs)

    async with postgres.database.engine.connect() as writer:
        await take_guard(writer, DISTRICT, shared=True)
        importing = asyncio.create_task(succeed(postgres, write_file(tmp_path, [row("7", "Smith", "Ann")])))
        await until_async(lambda: waits() >= 2)
        await writer.rollback()
        await importing


async def test_a_list_is_read_in_chunks_and_keeps_no_connection(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_findings, "CHUNK", 2)
    people = [employee(f"E{number}", str(number + 1), "Smith", "Ann") for number in range(5)]
    await factory.employees.put_all(DISTRICT, people)
    file = write_file(tmp_path, [row(str(number + 1), "Smith", "Ann", f"L{number}") for number in range(5)])
    run = await succeed(factory, file)
    pool: Any = factory.database.engine.pool
    seen = []
    async for item in factory.runs.items(run, FindingKind.CHANGE):
        assert pool.checkedout() == 0
        seen.append(item["employee_number"])
    assert seen == [person["employee_number"] for person in people]


async def test_one_stream_too_many_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.add(run := waiting_run())
    monkeypatch.setattr(run_events, "MOST_STREAMS", 0)
    response = await api.get(f"/runs/{run.id}/events")
    problem(response, 503, "service-unavailable")
    assert response.headers["Retry-After"] == "30"


async def test_an_orderly_stop_is_no_try_at_a_report(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await factory.employees.put_all(DISTRICT, [ANN])
    rendering = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        rendering.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(run_reporting, "render_pdf", hang)
    run = await start(factory)
    work = asyncio.create_task(execute(factory, run.id, write_file(tmp_path, [row("7", "Smith", "Ann")])))
    await asyncio.wait_for(rendering.wait(), 20)
    assert (await factory.runs.get(DISTRICT, run.id)).report_tries == 1
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    ended = await factory.runs.get(DISTRICT, run.id)
    assert (ended.status, ended.report_tries, ended.report_tried_at) == ("succeeded", 0, None)


async def test_a_pdf_that_fails_is_tried_again_later_and_not_at_once(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three tries within a second would spend them all on one full disk."""

    async def fail(*_: object, **__: object) -> None:
        raise PdfFailed("the disk is full")

    async def tries() -> int:
        made = 0
        while await factory.reporting.report_next(timedelta()):
            made += 1
        return made

    made = [ended_run(district_id=DISTRICT) for _ in range(3)]
    async with factory.database.write() as session:
        session.add_all(made)
    with time_machine.travel(utc_now(), tick=False) as clock:
        monkeypatch.setattr(run_reporting, "render_pdf", fail)
        assert await tries() == len(made)
        assert await tries() == 0
        monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)
        clock.shift(report_lease(factory.settings) + timedelta(seconds=1))
        assert await tries() == len(made)
    found = [await factory.runs.get(DISTRICT, run.id) for run in made]
    assert all(run.report_pdf and run.report_tries == 2 for run in found)


async def test_a_sweep_is_put_off_while_the_database_is_busy(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    def busy() -> None:
        raise ServiceUnavailableError("busy")

    monkeypatch.setattr(factory.database, "write", busy)
    await sweep({"factory": factory})
    assert logs[-1]["event"] == "sweep_put_off"
