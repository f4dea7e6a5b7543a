"""Fixture: the real application over HTTP semantics, without a socket. The root conftest has them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import timedelta
from json import dumps
from typing import Any

import httpx
import pytest
import structlog

from app.constants import Role
from app.factory import Factory
from app.main import create_app
from app.models import District
from app.reach import _reach
from app.services.tokens import issue_token
from app.settings import Settings

OUTSIDE = ("/health", "/metrics", "/docs", "/problems", "/openapi")
"""What is not below the base path."""
HERE, THERE = "here", "there"
"""Two districts, so that every test can look from the other one."""


@dataclass
class Api:
    """A client of a running application, and the parts behind it."""

    client: httpx.AsyncClient
    factory: Factory

    def token(self, role: Role = Role.ADMIN, district: str = HERE, user: str = "kmarsh") -> str:
        return issue_token(
            self.factory.authentication.signing_key, user, role, district, timedelta(minutes=5)
        )

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        role: Role | None = Role.ADMIN,
        district: str = HERE,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Send a request as a user of `role`, without a token if that is None; paths are below /api/v1."""
        sent = dict(headers or {})
        if role is not None:
            sent["Authorization"] = f"Bearer {self.token(role, district)}"
        if json is not None:
            sent.setdefault("Content-Type", "application/json")
            options["content"] = dumps(json)  # escapes what httpx would refuse to encode
        url = path if path.startswith(OUTSIDE) else f"/api/v1{path}"
        request = self.client.request(method, url, headers=sent, **options)
        return await asyncio.create_task(request, context=of_nobody())

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("GET", path, **options)

    async def add(self, *rows: Any) -> None:
        """Store rows as they are."""
        async with self.factory.database.write() as session:
            session.add_all(rows)


def of_nobody() -> Context:
    """Return a context that reaches no district until somebody says so, as that of a request does."""
    context = copy_context()
    context.run(_reach.set, None)
    return context


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[Api]:
    """Start the application with two districts; errors of the server are answers, as over a socket."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://certsync") as client:
            api = Api(client, app.state.factory)
            await api.add(
                District(id=HERE, name="Here", timezone="America/New_York"),
                District(id=THERE, name="There", timezone="America/Chicago"),
            )
            yield api


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with running_api(settings) as running:
        yield running


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """Every event that is logged while the test runs."""
    with structlog.testing.capture_logs() as events:
        yield events


def problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Return the problem that a response is, after checking that it is one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == response.request.url.path
    return body


def places(response: httpx.Response) -> list[list[str | int]]:
    """Return the `loc` of every fault of a 422."""
    faults = problem(response, 422, "validation-failed")["errors"]
    assert all(set(fault) == {"loc", "msg", "type"} and fault["msg"] for fault in faults)
    return [fault["loc"] for fault in faults]
