"""Runs are cancelled until the replace begins, whoever else wants them at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.constants import Role, RunStatus
from app.factory import Factory
from app.models import Run
from app.models.base import utc_now
from app.pipeline.fetch import Fetcher
from app.services.runs import RunOptions
from app.storage import due_runs, run_reports, runs
from tests.support.api import HERE, THERE, Api, problem
from tests.support.imports import DISTRICT, execute, row, write_file
from tests.support.processes import until_async
from tests.support.runs import ended_run, inactive_task, running, waiting_run

ROUNDS = 8
SCHEDULE = {
    "description": "Nightly",
    "status": "active",
    "scheduled_start_date": "2026-09-01",
    "time": "02:30",
    "recurrence": ["mon", "wed"],
}


async def cancel(api: Api, run: Run | UUID, **options: Any) -> Any:
    run_id = run if isinstance(run, UUID) else run.id
    return await api.call("POST", f"/runs/{run_id}/cancel", **options)


async def stored(api: Api, run: Run) -> Run:
    return await api.factory.runs.get(HERE, run.id)


async def do(api: Api, change: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
    """Make a change of a run's row in a transaction of its own, as a worker does."""
    async with api.factory.database.write() as session:
        return await change(await session.connection(), *arguments, **options)


@pytest.mark.parametrize("make", [waiting_run, running], ids=["waiting", "running"])
async def test_run_ends_as_cancelled(api: Api, make: Callable[..., Run]) -> None:
    await api.add(run := make(from_disk=True))
    response = await cancel(api, run)
    assert response.status_code == 202
    body = response.json()
    assert (body["id"], body["status"], body["failure"]) == (str(run.id), "cancelled", None)
    assert body["end"]
    assert (await api.get(f"/runs/{run.id}")).json() == body


async def test_cancelled_run_is_nobodys_any_more(api: Api) -> None:
    await api.add(run := running())
    await cancel(api, run)
    assert not await do(api, runs.update_owned, run.id, run.owner, progress=50)
    assert not await do(api, runs.mark_replace, run.id, run.owner, utc_now())
    assert not await do(api, runs.put_back, run.id, run.owner)
    later = utc_now() + timedelta(hours=1)
    assert await do(api, due_runs.claim, run.id, uuid4(), later, from_disk=False) is None


async def test_replace_is_not_cancelled(api: Api) -> None:
    await api.add(run := running())
    assert await do(api, runs.mark_replace, run.id, run.owner, utc_now())
    body = problem(await cancel(api, run), 409, "run-not-cancellable")
    assert "begun to replace" in body["detail"]
    assert (await stored(api, run)).status == RunStatus.IN_PROGRESS


async def test_a_replace_that_is_to_be_tried_again_is_not_cancelled(api: Api) -> None:
    await api.add(run := running())
    for since in (utc_now(), None):
        assert await do(api, runs.mark_replace, run.id, run.owner, since)
    problem(await cancel(api, run), 409, "run-not-cancellable")


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED])
async def test_ended_run_is_not_cancelled(api: Api, status: RunStatus) -> None:
    await api.add(run := ended_run(status))
    body = problem(await cancel(api, run), 409, "run-not-cancellable")
    assert status.value in body["detail"]
    assert (await stored(api, run)).ended_at == run.ended_at


async def test_only_an_admin_of_the_district_cancels(api: Api) -> None:
    await api.add(run := running())
    for role in (Role.VIEWER, Role.HR, Role.OPS):
        problem(await cancel(api, run, role=role), 403, "forbidden")
    problem(await cancel(api, run, district=THERE), 404, "not-found")
    problem(await cancel(api, uuid4()), 404, "not-found")
    assert (await stored(api, run)).status == RunStatus.IN_PROGRESS


async def test_run_that_was_cancelled_makes_room_for_another(api: Api) -> None:
    await api.add(run := running(), task := inactive_task())
    path = f"/tasks/{task.id}/run"
    problem(await api.call("POST", path), 409, "run-in-progress")
    await cancel(api, run)
    assert (await api.call("POST", path)).status_code == 202


async def test_occurrence_is_skipped_and_the_next_one_waits(api: Api) -> None:
    task = (await api.call("POST", "/tasks", SCHEDULE)).json()
    first = (await api.get("/runs")).json()["items"][0]
    assert (await cancel(api, UUID(first["id"]))).status_code == 202
    items = {run["status"]: run for run in (await api.get("/runs")).json()["items"]}
    assert set(items) == {"waiting", "cancelled"}
    assert items["cancelled"]["scheduled_start"] == first["scheduled_start"]
    assert items["waiting"]["scheduled_start"] > first["scheduled_start"]
    shown = (await api.get(f"/tasks/{task['id']}")).json()["next_run_at"]
    assert shown == items["waiting"]["scheduled_start"]
    # It stays skipped when the schedule is looked at again.
    changed = await api.call("PATCH", f"/tasks/{task['id']}", {"recurrence": ["mon", "wed", "fri"]})
    assert changed.json()["next_run_at"] > first["scheduled_start"]


async def test_cancelled_run_has_no_pdf_but_a_report(api: Api) -> None:
    await api.add(run := running())
    await cancel(api, run)
    links = (await api.get(f"/runs/{run.id}")).json()["links"]
    assert links["report_pdf"] is None
    assert (await api.call("GET", links["report_json"].removeprefix("/api/v1"))).status_code == 200
    assert "cancelled" in problem(await api.get(f"/runs/{run.id}/report.pdf"), 404, "not-found")["detail"]
    later = utc_now() + timedelta(hours=1)
    assert await do(api, run_reports.next_report, later, timedelta(), timedelta()) is None
    await execute(api.factory, run.id)
    assert (await stored(api, run)).report_tries == 0


async def test_two_cancels_and_a_replace_have_one_winner(api: Api) -> None:
    for _ in range(ROUNDS):
        await api.add(run := running())
        *cancels, replaces = await asyncio.gather(
            cancel(api, run),
            cancel(api, run),
            do(api, runs.mark_replace, run.id, run.owner, utc_now()),
        )
        statuses = sorted(response.status_code for response in cancels)
        now = await stored(api, run)
        if replaces:
            assert (statuses, now.status) == ([409, 409], RunStatus.IN_PROGRESS)
            await do(api, runs.finish, run.id, run.owner, RunStatus.SUCCEEDED, utc_now())
        else:
            assert (statuses, now.status, now.replacing_since) == ([202, 409], RunStatus.CANCELLED, None)


async def test_two_cancels_and_a_claim_end_as_cancelled(api: Api) -> None:
    for _ in range(ROUNDS):
        await api.add(run := waiting_run())
        owner = uuid4()
        *cancels, claimed = await asyncio.gather(
            cancel(api, run),
            cancel(api, run),
            do(api, due_runs.claim, run.id, owner, utc_now(), from_disk=False),
        )
        now = await stored(api, run)
        assert sorted(response.status_code for response in cancels) == [202, 409]
        assert (now.status, now.owner) == (RunStatus.CANCELLED, owner if claimed else None)
        assert not await do(api, runs.mark_replace, run.id, owner, utc_now())


async def test_worker_stops_within_seconds(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching, stopped = asyncio.Event(), asyncio.Event()

    async def for_ever(*_: object) -> None:
        fetching.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    monkeypatch.setattr(Fetcher, "from_disk", for_ever)
    run = await factory.runs.start_local(DISTRICT, "Licences", "kmarsh", RunOptions())
    path = write_file(tmp_path, [row("1", "Lee", "Ann")])
    execution = asyncio.create_task(execute(factory, run.id, path))
    await until_async(fetching.is_set)
    await factory.runs.cancel(DISTRICT, run.id)
    async with asyncio.timeout(20):
        await execution
    assert stopped.is_set()
    now = await factory.runs.get(DISTRICT, run.id)
    assert (now.status, now.failure_code, now.summary) == (RunStatus.CANCELLED, None, None)
