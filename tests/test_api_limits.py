"""More than a process can do: it refuses at once and says when to come again, and goes on with the rest."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.api import limits
from app.main import create_app
from app.services.tasks import TaskService
from app.settings import Settings
from tests.support.api import HERE, Api, problem, running_api

MOST = 5
CONNECTION = {
    "username": "u",
    "password": SecretStr("p"),
    "fingerprint": f"SHA256:{43 * 'A'}",
    "directory": "",
}
SECONDS = 20


@pytest.fixture
async def busy(settings: Settings) -> AsyncIterator[Api]:
    """A process that serves few requests at a time."""
    async with running_api(settings.model_copy(update={"max_requests": MOST})) as api:
        yield api


class Gate:
    """Holds every request for the list of tasks until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside = 0
        self._open = asyncio.Event()
        page = TaskService.page

        async def held(service: TaskService, *arguments: Any) -> Any:
            self.inside += 1
            try:
                await self._open.wait()
                return await page(service, *arguments)
            finally:
                self.inside -= 1

        monkeypatch.setattr(TaskService, "page", held)

    def open(self) -> None:
        self._open.set()

    async def holds(self, count: int) -> None:
        async with asyncio.timeout(SECONDS):
            while self.inside != count:
                await asyncio.sleep(0.01)


def refused(response: httpx.Response, slug: str) -> None:
    problem(response, 503, slug)
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["x-request-id"]


async def test_requests_beyond_the_bound_are_refused_at_once(
    busy: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    held = [asyncio.create_task(busy.get("/tasks")) for _ in range(MOST)]
    await gate.holds(MOST)
    for _ in range(3):
        refused(await busy.get("/runs"), "overloaded")
    assert (await busy.get("/health/ready")).status_code == 200, "who watches gets through"
    gate.open()
    assert {(await each).status_code for each in held} == {200}
    assert (await busy.get("/runs")).status_code == 200


async def test_a_request_without_an_answer_in_time_is_given_up(
    busy: Api, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    monkeypatch.setattr(limits, "ANSWER_LIMIT", 1.0)
    gate = Gate(monkeypatch)
    refused(await busy.get("/tasks"), "took-too-long")
    await gate.holds(0)  # it was cancelled
    assert (await busy.get("/runs")).status_code == 200
    (line,) = [event for event in logs if event["event"] == "request" and event["route"] == "/api/v1/tasks"]
    assert (line["status"], line["district"], line["user"]) == (503, "here", "kmarsh")


def test_only_a_stream_passes_for_one(settings: Settings) -> None:
    """An employee's number may be `events` as well, and whoever sends a body there is a stranger still."""
    streams = {
        (method, path)
        for path, operations in create_app(settings).openapi()["paths"].items()
        for method in operations
        if limits.is_stream({"method": method.upper(), "path": re.sub(r"{[^}]*}", "events", path)})
    }
    assert streams == {("get", "/api/v1/runs/{run_id}/events")}


async def test_a_body_that_never_ends_is_given_up(busy: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_LIMIT", 0.5)

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with asyncio.timeout(SECONDS):
        for path in ("/employees/events", "/job-classes/events", "/tasks"):
            method = "POST" if path == "/tasks" else "PUT"
            refused(await busy.call(method, path, role=None, content=body()), "took-too-long")


async def test_what_cannot_be_cancelled_counts_until_it_ends(
    busy: Api, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    """As with a database that hangs: the driver waits for it even when it is cancelled."""
    assert (await busy.get("/tasks")).status_code == 200, "what the first request prepares takes its time"
    monkeypatch.setattr(limits, "ANSWER_LIMIT", 3.0)
    hangs = asyncio.Event()
    inside = 0

    async def page(*_: Any) -> None:
        nonlocal inside
        inside += 1
        waiting = asyncio.create_task(hangs.wait())
        while not waiting.done():
            try:
                await asyncio.shield(waiting)
            except asyncio.CancelledError:
                continue
        raise LookupError(chr(0x2603) * 3)  # not as source code quotes it

    monkeypatch.setattr(TaskService, "page", page)
    for response in await asyncio.gather(*(busy.get("/tasks") for _ in range(MOST))):
        refused(response, "took-too-long")
    assert inside == MOST, "each was given up in what cannot be cancelled, not on its way there"
    refused(await busy.get("/runs"), "overloaded")
    hangs.set()
    async with asyncio.timeout(SECONDS):
        while (await busy.get("/runs")).status_code != 200:
            await asyncio.sleep(0.01)
    failures = [event for event in logs if event["event"] == "late_request_failed"]
    assert [event["error"] for event in failures] == ["LookupError"] * MOST
    assert chr(0x2603) not in str(failures)


async def test_who_tries_a_connection_waits_for_its_own_limits(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with running_api(settings.model_copy(update={"sftp_login_timeout": 0.8})) as api:
            there = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
            await api.factory.connections.put(HERE, "kmarsh", CONNECTION | there, None)
            with monkeypatch.context() as patch:
                patch.setattr(limits, "ANSWER_LIMIT", 0.2)
                scanned = await api.call("POST", "/sftp-connection/scan", there)
                assert scanned.json()["failure"]["code"] == "sftp_timeout"
                tried = await api.call("POST", "/sftp-connection/test")
                assert tried.json()["failure"]["code"] == "sftp_timeout"
            attempts = (await api.get("/connection-events?phase=host_key&outcome=failure")).json()["items"]
            assert [attempt["action"] for attempt in attempts] == ["test", "scan"]
            assert {attempt["failure_code"] for attempt in attempts} == {"sftp_timeout"}


async def test_an_answer_that_has_begun_may_take_its_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_LIMIT", 1.0)

    async def slow(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(1.5)
        await send({"type": "http.response.body", "body": b"whole"})

    transport = httpx.ASGITransport(limits.RequestLimits(slow, most=1))
    async with httpx.AsyncClient(transport=transport, base_url="http://certsync") as client:
        assert (await client.get("/")).text == "whole"
    assert api


async def test_a_cancelled_request_gives_its_place_back(busy: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    left = asyncio.create_task(busy.get("/tasks"))
    await gate.holds(1)
    left.cancel()
    await gate.holds(0)


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("token", [None, "Basic eA==", "Bearer nonsense"])
async def test_a_large_body_of_a_stranger_is_not_read(api: Api, token: str | None, announced: bool) -> None:
    sent = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 2**16
            yield b"[" * 2**16

    headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
    lengths = {"Content-Length": str(100 * 2**16)} if announced else {}
    response = await api.call(
        "POST", "/employees/bulk", role=None, headers=headers | lengths, content=parts()
    )
    problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-request-id"]
    assert sent <= limits.LARGE_BODY_BYTES + 2**16


@pytest.mark.parametrize("announced", [True, False])
async def test_few_large_bodies_are_taken_in_at_a_time(api: Api, announced: bool) -> None:
    release = asyncio.Event()
    part = b" " * (limits.LARGE_BODY_BYTES + 1)
    inside = 0

    async def held() -> AsyncIterator[bytes]:
        nonlocal inside
        yield part
        inside += 1
        await release.wait()
        yield b'{"items": []}'

    def send(content: Any, **headers: str) -> Any:
        headers["Content-Type"] = "application/json"
        return api.call("POST", "/employees/bulk", headers=headers, content=content)

    lengths = {"Content-Length": str(len(part) + 13)} if announced else {}
    waiting = [asyncio.create_task(send(held(), **lengths)) for _ in range(limits.LARGE_BODIES)]
    async with asyncio.timeout(SECONDS):
        while inside < limits.LARGE_BODIES:
            await asyncio.sleep(0.01)
    refused(await send(part + b'{"items": []}'), "overloaded")
    assert (await send(b'{"items": []}')).status_code in (200, 422), "a small one is taken"
    release.set()
    assert {(await each).status_code for each in waiting} <= {200, 422}
    assert (await send(part + b'{"items": []}')).status_code in (200, 422)
