"""A server with nothing but our protocol on it, and an application that echoes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request

from app.api.security_headers import security_headers
from app.cli import http_protocol
from tests.support.processes import until_async
from tests.support.raw_http import Answer, Raw

HOST = "Host: x\r\n"
MOST = 10
Result = TypeVar("Result")


@dataclass
class Served:
    """An application that echoes; `/held` waits for `release`, `/endless` sends until nobody is there."""

    port: int = 0
    seen: list[str] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.seen.append(path)
        try:
            body = await Request(scope, receive).body() if path != "/early" else b""
        except ClientDisconnect:
            self.left.append(path)
            return
        self.headers = scope["headers"]
        if path == "/held":
            await self.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while path == "/endless":
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            if await self.gone(receive):
                self.left.append(path)
                return
        text = f"{path} {len(body)}".encode()
        await send({"type": "http.response.body", "body": text})

    async def gone(self, receive: Any) -> bool:
        """Tell whether the client has left by now."""
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        gone: bool = waiting.done() and waiting.result()["type"] == "http.disconnect"
        waiting.cancel()
        return gone

    async def talk(self, talk: Callable[[Raw], Result], *, small: bool = False) -> Result:
        """Run `talk` with a connection of its own, in a thread."""

        def connected() -> Result:
            with Raw(self.port, small=small) as raw:
                return talk(raw)

        return await asyncio.to_thread(connected)

    async def sends(self, data: bytes | str) -> list[tuple[int, str]]:
        """Send, and return status and body of every answer until the server closes."""
        answers = await self.talk(lambda raw: raw.send(data).answers())
        return [(answer.status, answer.body.decode()) for answer in answers]


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(http_protocol, "LINGER_SECONDS", 0.2)
    app = Served()
    protocol: Any = partial(
        http_protocol.BoundedProtocol, most=MOST, headers=security_headers(production=True)
    )
    config = uvicorn.Config(
        app, port=0, http=protocol, ws="none", lifespan="off", log_config=None, server_header=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until_async(lambda: server.started)
    app.port = server.servers[0].sockets[0].getsockname()[1]
    yield app
    app.release.set()
    server.should_exit = server.force_exit = True
    await asyncio.wait_for(serving, 20)


def get(path: str, *headers: str, close: bool = True) -> str:
    lines = [*headers, "Connection: close"] if close else headers
    return f"GET {path} HTTP/1.1\r\n{HOST}" + "".join(f"{line}\r\n" for line in lines) + "\r\n"


def refused(answers: list[Answer], status: int, slug: str) -> None:
    (answer,) = answers
    assert (answer.status, answer["content-type"]) == (status, "application/problem+json")
    assert f'"/problems/{slug}"' in answer.body.decode()
    assert answer["connection"] == "close"
    assert answer["x-content-type-options"] == "nosniff"
    assert answer["strict-transport-security"]
    assert "server" not in dict(answer.headers)
