"""The whole service as a child process, started with the same command as anybody would type."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.child_process import ChildProcess, start_child
from app.demo.errors import DemoError
from app.local_address import base_url, free_port

HOST = "127.0.0.1"
START_LIMIT, STOP_LIMIT, TOKEN_LIMIT = 75.0, 30.0, 30.0
"""Seconds for the service to be ready, to end when asked, and for the token command."""
POLL = 0.1
"""Seconds between two looks at what is not ready yet."""


@dataclass(frozen=True)
class Service:
    """A running `certsync up`."""

    address: str
    data_dir: Path
    child: ChildProcess

    async def token(self) -> str:
        """Return a token for an administrator, from `certsync token`. Raises DemoError when it fails."""
        process = await asyncio.create_subprocess_exec(
            *_certsync("token", "--user", "demo", "--role", "admin"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **_environment(self.data_dir)},
        )
        try:
            async with asyncio.timeout(TOKEN_LIMIT):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise DemoError(f"`certsync token` took longer than {TOKEN_LIMIT:.0f} s") from None
        lines = out.decode().split()
        if process.returncode or not lines:
            raise DemoError(f"`certsync token` ended with code {process.returncode}: {err.decode().strip()}")
        return lines[-1]


@asynccontextmanager
async def running_service(data_dir: Path, log: Path) -> AsyncIterator[Service]:
    """Start `certsync up` on a free port with embedded defaults, give it once ready, stop it at the end.

    Its data goes to `data_dir`, what it says to `log`. Raises DemoError when it does not get ready.
    """
    port = free_port(HOST, 0)
    with log.open("wb") as output:
        command = _certsync("up", "--host", HOST, "--port", str(port))
        child = await start_child(command, env=_environment(data_dir), output=output)
    try:
        await _ready(base_url(HOST, port), child)
        yield Service(base_url(HOST, port), data_dir, child)
    finally:
        await child.stop(STOP_LIMIT)


def _certsync(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "app.cli", *arguments)


def _environment(data_dir: Path) -> dict[str, str]:
    return {"CERTSYNC_DATA_DIR": str(data_dir)}


async def _ready(address: str, child: ChildProcess) -> None:
    """Return when the health endpoint says that every component is well."""
    ended = asyncio.create_task(child.wait())
    try:
        async with asyncio.timeout(START_LIMIT), httpx.AsyncClient(trust_env=False) as http:
            while not await _healthy(http, address):
                if ended.done():
                    raise DemoError(f"`certsync up` ended with code {ended.result()} before it was ready")
                await asyncio.wait([ended], timeout=POLL)
    except TimeoutError:
        raise DemoError(f"`certsync up` was not ready after {START_LIMIT:.0f} s") from None
    finally:
        ended.cancel()


async def _healthy(http: httpx.AsyncClient, address: str) -> bool:
    """Tell whether every component is well; before its worker is there, the service is `degraded`."""
    try:
        response = await http.get(f"{address}/health/ready")
    except httpx.HTTPError:  # it does not listen yet, or is about to end, which the caller notices
        return False
    return response.is_success and response.json()["status"] == "ready"
