"""certsync's HTTP API as an integrator meets it: a base address, a token, JSON."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from app.demo.errors import DemoError

PREFIX = "/api/v1"
LIMIT = 60.0
"""Seconds for one answer."""


class Client:
    """Calls the API; every call raises DemoError, with the problem's own words, if it is refused."""

    def __init__(self, address: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=address + PREFIX,
            headers={"Authorization": f"Bearer {token}"},
            timeout=LIMIT,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send `body` as JSON and return the answer's JSON."""
        return (await self._send(method, path, body)).json()

    async def download(self, path: str, target: Path) -> None:
        """Write what lies at `path` to `target`."""
        await asyncio.to_thread(target.write_bytes, (await self._send("GET", path)).content)

    async def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            response = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise DemoError(f"{method} {PREFIX}{path}: {type(error).__name__} {error}".rstrip()) from error
        if response.is_error:
            raise DemoError(f"{method} {PREFIX}{path} answered {response.status_code}: {response.text}")
        return response
