"""Which run is next: every district in its turn, one run of each at a time, none of what is paused."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from app.constants import RunStatus
from app.factory import Factory
from app.models import Run
from app.models.base import utc_now
from app.storage import due_runs, run_reports
from app.storage.due_runs import STALE
from tests.support.imports import DISTRICT, run_table, write
from tests.support.queueing import add_districts, add_run, ended, working
from workers import run_import as job
from workers.settings import create_worker

# arq 0.28 closes its connection by a name that redis 5.3 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


def ago(seconds: float) -> datetime:
    return utc_now() - timedelta(seconds=seconds)


async def take(factory: Factory) -> Run | None:
    async with factory.database.write() as session:
        return await due_runs.claim_next(await session.connection(), uuid4(), utc_now())


async def take_all(factory: Factory) -> list[UUID]:
    taken = []
    while run := await take(factory):
        taken.append(run.id)
    return taken


async def test_who_waits_longest_is_next(factory: Factory) -> None:
    names = await add_districts(factory, 3)
    made = [
        await add_run(factory, district_id=name, scheduled_start=ago(seconds))
        for name, seconds in zip(names, (10, 30, 20), strict=True)
    ]
    assert await take_all(factory) == [made[1].id, made[2].id, made[0].id]


async def test_a_district_has_one_turn_at_a_time(factory: Factory) -> None:
    """However much of one district is due, and for how long, the others have their turn."""
    (other,) = await add_districts(factory, 1)
    mine = [await add_run(factory, scheduled_start=ago(100 - number)) for number in range(5)]
    theirs = await add_run(factory, district_id=other, scheduled_start=ago(1))
    assert await take_all(factory) == [mine[0].id, theirs.id]
    over = sa.update(run_table).where(run_table.c.id == mine[0].id).values(status=RunStatus.SUCCEEDED)
    await write(factory, over)
    assert await take_all(factory) == [mine[1].id]


async def test_what_is_not_there_to_be_taken(factory: Factory) -> None:
    names = await add_districts(factory, 4)
    await add_run(factory, district_id=names[0], scheduled_start=utc_now() + timedelta(hours=1))
    await add_run(factory, district_id=names[1], from_disk=True)
    await add_run(factory, district_id=names[2], status=RunStatus.FAILED)
    await add_run(
        factory, district_id=names[3], status=RunStatus.IN_PROGRESS, heartbeat_at=utc_now(), owner=uuid4()
    )
    assert await take_all(factory) == []


async def test_a_run_whose_worker_was_lost_is_taken(factory: Factory) -> None:
    lost = await add_run(
        factory, status=RunStatus.IN_PROGRESS, heartbeat_at=utc_now() - STALE * 2, owner=uuid4(), attempt=1
    )
    waiting = await add_run(factory)
    run = await take(factory)
    assert run is not None
    assert (run.id, run.attempt) == (lost.id, 2)
    assert await take(factory) is None, "the other one of the district waits for its end"
    assert waiting.id


async def test_many_who_take_at_once_get_a_run_each(factory: Factory) -> None:
    names = await add_districts(factory, 12)
    made = {
        (await add_run(factory, district_id=name, scheduled_start=ago(number))).id
        for number, name in enumerate(names * 2)
    }
    factory.execution._import = noted = Noted()  # type: ignore[method-assign,assignment] # runs stay in progress
    taken = await asyncio.gather(*(factory.execution.execute_next() for _ in range(20)))
    got = [run_id for run_id in taken if run_id]
    assert len(got) == len(set(got)) == len(set(noted.districts)) == 12
    assert set(got) <= made


class Noted:
    """Stands for the import; the run stays in progress."""

    def __init__(self) -> None:
        self.districts: list[str] = []

    async def __call__(self, run: Run, _path: None) -> None:
        self.districts.append(run.district_id)


async def test_in_a_paused_district_only_what_a_person_started_begins(factory: Factory) -> None:
    names = await add_districts(factory, 3)
    for name in names:
        await factory.districts.pause(name)
    scheduled = await add_run(factory, district_id=names[0], slot=ago(5), scheduled_start=ago(5))
    began = await add_run(
        factory, district_id=names[1], slot=ago(4), scheduled_start=ago(4), actual_start=ago(3)
    )
    by_hand = await add_run(factory, district_id=names[2], scheduled_start=ago(1))
    async with factory.database.read() as session:
        left = await due_runs.abandoned(await session.connection(), utc_now(), timedelta())
    assert left == [began.id, by_hand.id]
    assert await take_all(factory) == [began.id, by_hand.id]
    await factory.districts.resume(names[0])
    assert await take_all(factory) == [scheduled.id]


async def test_one_message_is_enough_for_all_that_is_due(service: Factory) -> None:
    runs = [await add_run(service, district_id=name) for name in await add_districts(service, 5)]
    async with working(service.settings):
        await service.queue.enqueue_run(runs[-1].id, "start")
        for run in runs:
            await ended(service, run)


async def test_a_job_leaves_the_rest_to_a_new_message_when_its_turn_is_over(
    service: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "TURN", 0)
    runs = [await add_run(service, district_id=name) for name in await add_districts(service, 3)]
    ctx = {
        "executing": set[str](),
        "job_id": "first",
        "job_try": 1,
        "factory": service,
        "worker": create_worker(service.settings),
    }
    await job.run_import(ctx, str(runs[0].id))
    states = [(await service.runs.get(run.district_id, run.id)).status for run in runs]
    assert states == [RunStatus.FAILED, RunStatus.WAITING, RunStatus.WAITING]
    async with working(service.settings):
        for run in runs:
            await ended(service, run)


async def test_pdfs_that_are_made_again_for_an_erasure_keep_nothing_else_waiting(service: Factory) -> None:
    """An erasure leaves those of a year's runs, all of which ended long ago; licences are urgent."""
    done = {"status": RunStatus.SUCCEEDED, "summary": {}}
    names = await add_districts(service, 4)
    again, fresh, late = [
        await add_run(service, district_id=name, ended_at=ended_at, lists_redacted_at=redacted, **done)
        for name, ended_at, redacted in zip(
            names, (ago(90_000), ago(2), ago(1200)), (ago(900), None, None), strict=False
        )
    ]
    due = await add_run(service, district_id=names[3])
    did = []
    while run_id := await job._next(service):
        did.append(run_id)
    assert did == [late.id, due.id, fresh.id, due.id, again.id], "of what is due, the PDF follows"
    assert (await service.runs.get(again.district_id, again.id)).report_pdf


async def test_a_pdf_that_is_made_again_waits_since_the_erasure(factory: Factory) -> None:
    common = {"status": RunStatus.SUCCEEDED, "ended_at": ago(9000), "lists_redacted_at": ago(60)}
    run = await add_run(factory, **common)
    async with factory.database.read() as session:
        for patience, found in ((120, None), (30, run.id)):
            waited = timedelta(seconds=patience)
            connection = await session.connection()
            assert await run_reports.next_report(connection, utc_now(), waited, timedelta()) == found


async def test_a_stopping_worker_begins_nothing_more(service: Factory) -> None:
    run = await add_run(service)
    stopping = create_worker(service.settings)
    stopping.allow_pick_jobs = False
    ctx = {"executing": set[str](), "job_id": "m", "job_try": 1, "factory": service, "worker": stopping}
    await job.run_import(ctx, str(run.id))
    assert (await service.runs.get(DISTRICT, run.id)).status == RunStatus.WAITING
