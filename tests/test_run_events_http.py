"""Run events over HTTP: a real server on a port, with clients that stay, leave, and come back."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.cli.server import Server
from app.constants import Role, RunPhase, RunStatus
from app.main import create_app
from app.models import District, Run
from app.models.base import utc_now
from app.services import run_events
from app.settings import Settings
from app.storage import runs
from tests.support.api import HERE, THERE, Api, problem, running_api
from tests.support.openssh import free_port
from tests.support.processes import until, until_async
from tests.support.runs import ended_run, running, waiting_run

LIMIT = 20
ROUTE = "/api/v1/runs/{run_id}/events"


@dataclass
class Served:
    """A running server, seen from its parts and from its port."""

    api: Api
    server: Server
    serving: asyncio.Task[None]

    @asynccontextmanager
    async def stream(self, run: Run, last: str | None = None) -> AsyncIterator[AsyncIterator[str]]:
        """Yield the lines of a run's stream."""
        headers = {"Authorization": f"Bearer {self.api.token(Role.VIEWER)}"}
        if last is not None:
            headers["Last-Event-ID"] = last
        async with (
            asyncio.timeout(LIMIT),
            self.api.client.stream("GET", f"/api/v1/runs/{run.id}/events", headers=headers) as response,
        ):
            assert response.status_code == 200, await response.aread()
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["x-accel-buffering"] == "no"
            yield response.aiter_lines()

    async def change(self, run: Run, **values: Any) -> None:
        assert run.owner is not None
        async with self.api.factory.database.write() as session:
            assert await runs.update_owned(await session.connection(), run.id, run.owner, **values)


@pytest.fixture
async def served(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(run_events, "POLL", 0.02)
    app = create_app(settings)
    server = Server(app, settings, "127.0.0.1", 0)
    serving = asyncio.create_task(server.serve())
    await until_async(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        api = Api(client, app.state.factory)
        await api.add(*(District(id=each, name=each, timezone="America/New_York") for each in (HERE, THERE)))
        yield Served(api, server, serving)
        server.should_exit = True
        await asyncio.wait_for(serving, LIMIT)


async def next_event(lines: AsyncIterator[str]) -> tuple[str, str, Any]:
    """Return name, id and data of the next event; comments are no events."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif fields:
            return fields["event"], fields["id"], json.loads(fields["data"])
    raise EOFError


async def every_event(lines: AsyncIterator[str]) -> list[tuple[str, str, Any]]:
    events = []
    try:
        while True:
            events.append(await next_event(lines))
    except EOFError:
        return events


async def test_run_is_followed_to_its_end(served: Served) -> None:
    await served.api.add(run := running(phase=RunPhase.FETCH, progress=0))
    async with served.stream(run) as lines:
        assert await next_event(lines) == ("phase", "1.1.0", {"phase": "fetch", "attempt": 1})
        await served.change(run, progress=12)
        assert await next_event(lines) == ("progress", "1.1.12", {"phase": "fetch", "progress": 12})
        await served.change(run, phase=RunPhase.PARSE, progress=30)
        assert [(await next_event(lines))[1] for _ in range(2)] == ["1.2.0", "1.2.30"]
        await served.change(run, status=RunStatus.CANCELLED, ended_at=utc_now())
        end = ("end", "1.2.30.end", {"status": "cancelled", "failure": None})
        assert await every_event(lines) == [end]


async def test_client_that_comes_back_gets_what_it_missed(served: Served) -> None:
    await served.api.add(run := running(phase=RunPhase.FETCH, progress=12))
    async with served.stream(run) as lines:
        assert (await next_event(lines))[1] == "1.1.0"
        _, last, _ = await next_event(lines)
    await served.change(
        run, phase=RunPhase.REPORT, progress=100, status=RunStatus.SUCCEEDED, ended_at=utc_now()
    )
    async with served.stream(run, last) as lines:
        ids = [each[1] for each in await every_event(lines)]
    assert ids == ["1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.5.100", "1.5.100.end"]
    response = await served.api.get(f"/runs/{run.id}/events", headers={"Last-Event-ID": ids[-1]})
    assert (response.status_code, response.content) == (204, b"")


async def test_silence_is_broken_by_comments_and_costs_no_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_events, "KEEP_ALIVE", 0.1)
    await served.api.add(run := waiting_run())
    async with served.stream(run) as lines:
        assert (await next_event(lines))[2] == {"phase": None, "attempt": 0}
        for _ in range(3):
            assert await anext(lines) == ": ping"
            assert await anext(lines) == ""
        pool: Any = served.api.factory.database.engine.pool
        await until_async(lambda: pool.checkedout() == 0)


async def test_stream_ends_after_its_time_without_an_end(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_events, "LONGEST", 0.1)
    await served.api.add(run := running())
    async with served.stream(run) as lines:
        assert [name for name, *_ in await every_event(lines)] == ["phase", "phase", "progress"]


async def test_stream_of_a_run_that_is_taken_back_ends(served: Served) -> None:
    """A waiting run goes when the schedule of its task is changed."""
    await served.api.add(run := waiting_run())
    async with served.stream(run) as lines:
        await next_event(lines)
        async with served.api.factory.database.write() as session:
            await session.exec(sa.delete(Run).where(runs.run.c.id == run.id))
        assert await every_event(lines) == []
    problem(await served.api.get(f"/runs/{run.id}/events"), 404, "not-found")


async def test_client_that_goes_away_ends_its_stream(served: Served, logs: list[Any]) -> None:
    await served.api.add(run := running())
    async with served.stream(run) as lines:
        await next_event(lines)
        assert not any(event.get("route") == ROUTE for event in logs)
    await until_async(lambda: any(event.get("route") == ROUTE for event in logs))
    assert not any(event["log_level"] == "error" for event in logs)


async def test_server_stops_although_a_client_listens(served: Served) -> None:
    await served.api.add(run := running())
    async with served.stream(run) as lines:
        await next_event(lines)
        served.server.should_exit = True
        async with asyncio.timeout(20):
            rest = await every_event(lines)  # ends in order, not by a cut connection
            await served.serving
    assert all(name != "end" for name, *_ in rest)


async def test_errors_are_problems(api: Api) -> None:
    await api.add(run := running())
    path = f"/runs/{run.id}/events"
    problem(await api.get(path, district=THERE), 404, "not-found")
    problem(await api.get(path, role=None), 401, "unauthorized")
    problem(await api.get(path, role=Role.OPS), 403, "forbidden")
    problem(await api.get("/runs/x/events"), 422, "validation-failed")


async def test_ended_run_is_told_at_once(api: Api) -> None:
    await api.add(run := ended_run(RunStatus.FAILED, failure_code="no_file", failure_message="Né là."))
    response = await api.get(f"/runs/{run.id}/events", headers={"Last-Event-ID": "garbage"})
    assert response.text.endswith(
        'event: end\ndata: {"status": "failed", "failure": {"code": "no_file", "message": "Né là."}}\n'
        "id: 1.2.30.end\n\n"
    )
    assert response.text.count("event: ") == 4


async def test_sigterm_ends_a_server_with_an_open_stream(migrated_sqlite: Path, tmp_path: Path) -> None:
    """As the supervisor stops it: soon, and without an error in the log."""
    shutil.copy(migrated_sqlite, tmp_path / "certsync.db")
    async with running_api(Settings(data_dir=tmp_path)) as api:
        await api.add(run := running())
        token = api.token()
    port, log = free_port(), tmp_path / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - it takes a moment
            [sys.executable, "-m", "app.cli", "serve", "--port", str(port)],
            env={**os.environ, "CERTSYNC_DATA_DIR": str(tmp_path)},
            stderr=output,
        )
    try:
        until(lambda: "Uvicorn running on" in log.read_text() or process.poll() is not None)
        url = f"http://127.0.0.1:{port}/api/v1/runs/{run.id}/events"
        with httpx.stream("GET", url, headers={"Authorization": f"Bearer {token}"}) as response:
            lines = response.iter_lines()
            assert next(lines) == "event: phase"
            process.terminate()
            assert list(lines)[-1] == ""  # the answer is whole
        process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert not any(word in log.read_text().lower() for word in ("error", "exception", "traceback"))
