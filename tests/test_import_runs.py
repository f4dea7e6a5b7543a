"""Runs: claimed once, one at a time in a district, taken up again, and their reports (I8, I9)."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from app.constants import FindingKind, RunKind, RunTrigger
from app.errors import ReportNotReadyError, RunInProgressError
from app.factory import Factory
from app.models import Run
from app.models.base import utc_now
from app.pipeline import heartbeat, plan
from app.pipeline.fetch import FetchedFile, Fetcher
from app.pipeline.layout import Layout
from app.pipeline.pdf import render_pdf
from app.services import run_reporting
from app.services.run_execution import MAX_ATTEMPTS
from app.services.runs import RunOptions
from app.storage import due_runs, staging
from tests.support.imports import (
    DISTRICT,
    USER,
    add_district,
    employee,
    execute,
    finding,
    lists,
    records,
    row,
    run_import,
    run_table,
    select,
    start,
    succeed,
    write,
    write_file,
)

AT_ONCE = 20


@pytest.fixture
async def district(factory: Factory) -> Factory:
    await factory.employees.put_all(DISTRICT, [employee("E1", "7", "Smith", "Ann")])
    return factory


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_file(tmp_path, [row("7", "Smith", "Ann", LicenseIssueDate="")])


async def claim(factory: Factory, run_id: UUID) -> Run | None:
    async with factory.database.write() as session:
        connection = await session.connection()
        return await due_runs.claim(connection, run_id, uuid4(), utc_now(), from_disk=True)


async def change(factory: Factory, run_id: UUID, **values: Any) -> None:
    await write(factory, sa.update(run_table).where(run_table.c.id == run_id).values(**values))


def hang_before_replace(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let every import stop for ever when it has matched; the event says that one is there."""
    reached = asyncio.Event()

    async def hang(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(plan, "summarise", hang)
    return reached


async def test_one_of_many_claims_wins(district: Factory) -> None:
    run = await start(district)
    claimed = await asyncio.gather(*(claim(district, run.id) for _ in range(AT_ONCE)))
    (winner,) = filter(None, claimed)
    now = await district.runs.get(DISTRICT, run.id)
    assert (now.status, now.attempt, now.owner) == ("in_progress", 1, winner.owner)


async def test_many_executions_of_a_run_import_once(district: Factory, file: Path) -> None:
    run = await start(district)
    await asyncio.gather(*(execute(district, run.id, file) for _ in range(5)))
    now = await district.runs.get(DISTRICT, run.id)
    assert (now.status, now.attempt) == ("succeeded", 1)
    assert len((await lists(district, now))["blank_dates"]) == 1


async def test_a_run_is_not_taken_before_it_is_due(district: Factory) -> None:
    run = await start(district)
    await change(district, run.id, scheduled_start=utc_now() + timedelta(minutes=1))
    assert await claim(district, run.id) is None


async def test_a_second_run_of_the_district_waits(district: Factory, file: Path) -> None:
    first = await start(district)
    assert await claim(district, first.id)
    now = utc_now()
    second = Run(
        district_id=DISTRICT,
        task_description="scheduled",
        kind=RunKind.IMPORT,
        trigger=RunTrigger.SCHEDULE,
        scheduled_start=now,
        run_by=USER,
        from_disk=True,
    )
    async with district.database.write() as session:
        session.add(second)
    await execute(district, second.id, file)
    waiting = await district.runs.get(DISTRICT, second.id)
    assert (waiting.status, waiting.attempt, waiting.actual_start) == ("waiting", 0, None)
    await change(district, first.id, status="failed", ended_at=now)
    await execute(district, second.id, file)
    assert (await district.runs.get(DISTRICT, second.id)).status == "succeeded"


async def test_run_now_names_the_run_that_waits_or_is_in_progress(district: Factory) -> None:
    first = await start(district)
    for _ in range(2):  # waiting, then in progress
        with pytest.raises(RunInProgressError) as caught:
            await start(district)
        assert caught.value.extra == {"run_id": str(first.id)}
        assert str(first.id) in caught.value.headers["Link"]
        await claim(district, first.id)
    await change(district, first.id, status="failed")
    await start(district)


async def test_many_clicks_make_one_run(district: Factory) -> None:
    task = await district.tasks.create(
        DISTRICT, USER, {"description": "nightly", "status": "inactive", "timezone": "America/New_York"}
    )

    async def click() -> Run | None:
        try:
            return await district.runs.start(DISTRICT, task.id, USER, RunOptions())
        except RunInProgressError:
            return None

    started = await asyncio.gather(*(click() for _ in range(AT_ONCE)))
    (run,) = filter(None, started)
    assert [found["id"] for found in await select(district, sa.select(run_table.c.id))] == [run.id]


async def test_another_district_does_not_wait(district: Factory, file: Path) -> None:
    assert await claim(district, (await start(district)).id)
    await add_district(district, "other")
    await succeed(district, file, "other")


async def cancel_before_replace(
    factory: Factory, run_id: UUID, path: Path | None, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Cancel the execution of a run when it has matched, and return what became of it."""
    with monkeypatch.context() as patch:
        reached = hang_before_replace(patch)
        execution = asyncio.create_task(execute(factory, run_id, path))
        await asyncio.wait_for(reached.wait(), 20)
        execution.cancel()
        with pytest.raises(asyncio.CancelledError):
            await execution
    return await factory.runs.get(DISTRICT, run_id)


async def test_a_cancelled_run_is_put_back_and_taken_up_again(
    district: Factory, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def from_state(
        fetcher: Fetcher, _run: Run, layout: Layout, scratch: Path, *_: object
    ) -> FetchedFile:
        return await fetcher.from_disk(file, layout, scratch)

    monkeypatch.setattr(Fetcher, "from_state", from_state)
    run = await start(district)
    await change(district, run.id, from_disk=False)
    back = await cancel_before_replace(district, run.id, None, monkeypatch)
    assert (back.status, back.phase, back.progress) == ("waiting", None, 0)
    await execute(district, run.id)
    ended = await district.runs.get(DISTRICT, run.id)
    assert (ended.status, ended.attempt) == ("succeeded", 1), "an orderly restart is no attempt"
    assert ended.actual_start == back.actual_start
    kept = [repr(found) for found in await select(district, sa.select(finding.c.kind, finding.c.data))]
    assert len(kept) == len(set(kept)) > 0, "what was found before the restart is gone"


async def test_a_cancelled_run_of_a_local_file_ends_and_no_worker_takes_it_up(
    district: Factory, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await start(district, accept_shrink=True)
    ended = await cancel_before_replace(district, run.id, file, monkeypatch)
    assert (ended.status, ended.ended_at is None) == ("cancelled", False)
    waiting = await start(district)
    await execute(district, waiting.id)  # as a worker would: without the file
    assert (await district.runs.get(DISTRICT, waiting.id)).status == "waiting"


@pytest.mark.parametrize("status", ["waiting", "in_progress"])
async def test_a_run_whose_file_went_with_its_process_is_ended(
    district: Factory, file: Path, status: str
) -> None:
    run = await start(district)
    then = utc_now() - 2 * due_runs.STALE
    await change(district, run.id, status=status, scheduled_start=then, heartbeat_at=then, owner=uuid4())
    await succeed(district, file)  # which the one that was left would refuse
    lost = await district.runs.get(DISTRICT, run.id)
    assert (lost.status, lost.failure_code) == ("failed", "worker_lost")


async def test_an_old_owner_does_not_erase_what_its_successor_found(district: Factory, file: Path) -> None:
    run = await start(district)
    first = await claim(district, run.id)
    assert first
    await change(district, run.id, attempt=2, owner=uuid4())
    data = {"line": 7, "column": "", "value": "", "reason": "a test"}
    of = {"district_id": DISTRICT, "run_id": run.id, "attempt": 2}
    await write(district, sa.insert(finding).values(kind=FindingKind.REJECTED, data=data, **of))
    await district.execution._import(first, file)
    assert [found["data"] for found in await select(district, sa.select(finding.c.data))] == [data]


async def test_a_run_that_takes_too_long_is_ended(
    district: Factory, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang_before_replace(monkeypatch)
    limited = district.settings.model_copy(update={"run_timeout": 0.5})
    monkeypatch.setattr(district.execution, "_settings", limited)
    run = await run_import(district, file)
    assert (run.status, run.failure_code) == ("failed", "internal_error")
    assert "0.5 seconds" in (run.failure_message or "")


async def test_a_run_that_took_its_workers_down_is_ended(district: Factory, file: Path) -> None:
    await succeed(district, file)
    before = await records(district)
    run = await start(district)
    await change(district, run.id, attempt=MAX_ATTEMPTS)
    await execute(district, run.id, file)
    ended = await district.runs.get(DISTRICT, run.id)
    assert (ended.status, ended.failure_code) == ("failed", "worker_lost")
    assert await records(district) == before
    await succeed(district, file)


async def test_a_commit_is_not_taken_for_a_loss(
    district: Factory, file: Path, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    """The heartbeat goes on until the import has tidied up, and finds the run ended: by ourselves."""
    drop = staging.drop

    async def drop_slowly(connection: Any) -> None:
        await asyncio.sleep(20 * heartbeat.BEAT)  # beats pass meanwhile
        await drop(connection)

    monkeypatch.setattr(heartbeat, "BEAT", 0.01)
    monkeypatch.setattr(staging, "drop", drop_slowly)
    await succeed(district, file)
    assert [event["event"] for event in logs if event["event"] in ("run_lost", "run_succeeded")] == [
        "run_succeeded"
    ]


async def test_a_failed_pdf_leaves_the_import_and_is_made_later(
    district: Factory, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_reporting, "render_pdf", render_pdf)
    with monkeypatch.context() as patch:
        hasty = district.settings.model_copy(update={"pdf_timeout": 0.01})
        patch.setattr(district.reporting, "_settings", hasty)
        run = await succeed(district, file)
    assert run.report_pdf is None
    with pytest.raises(ReportNotReadyError):
        await district.runs.pdf(DISTRICT, run.id)
    assert len((await records(district))["certification"]) == 1
    await execute(district, run.id)
    assert (await district.runs.get(DISTRICT, run.id)).report_pdf is None, "the lease of the first try lasts"
    await write(district, sa.update(run_table).values(report_tried_at=None))
    await execute(district, run.id)
    again = await district.runs.get(DISTRICT, run.id)
    assert (again.status, again.attempt) == ("succeeded", 1)
    pdf = await district.runs.pdf(DISTRICT, run.id)
    assert isinstance(pdf, Path)
    assert pdf.read_bytes().startswith(b"%PDF-")
