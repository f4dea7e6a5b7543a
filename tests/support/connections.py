"""The connection over HTTP to the tests' OpenSSH server, used by runs, looked at by two administrators."""

from typing import Any

import httpx
import sqlalchemy as sa

from app.constants import Role, RunTrigger
from app.models import Run
from tests.support.api import HERE, Api
from tests.support.imports import execute, run_table, start, write
from tests.support.openssh import OpenSshServer

ACCEPT = "/sftp-connection/host-key/accept"
REJECT = "/sftp-connection/host-key/reject"
STALE = "SHA256:" + "A" * 43
"""A fingerprint that no server has: what is pinned when the server's key was changed."""


def body(server: OpenSshServer, **changes: Any) -> dict[str, Any]:
    """A connection that works, but for `changes`."""
    return {
        "host": server.host,
        "port": server.port,
        "username": server.username,
        "private_key": server.private_key,
        "fingerprint": server.fingerprint(),
        "directory": str(server.new_directory()),
        **changes,
    }


async def as_user(api: Api, user: str, method: str, path: str, json: Any = None) -> httpx.Response:
    """Send a request as one of several administrators."""
    headers = {"Authorization": f"Bearer {api.token(Role.ADMIN, HERE, user)}"}
    return await api.call(method, path, json, role=None, headers=headers)


async def saved(api: Api, connection: dict[str, Any], status: int = 201) -> dict[str, Any]:
    """Save a connection; return how it is shown."""
    response = await api.call("PUT", "/sftp-connection", connection)
    assert response.status_code == status, response.text
    shown: dict[str, Any] = response.json()
    return shown


async def shown(api: Api) -> dict[str, Any]:
    """The connection as it is shown now."""
    answer: dict[str, Any] = (await api.get("/sftp-connection")).json()
    return answer


async def run(api: Api, *, scheduled: bool = False) -> Run:
    """Let a run use the connection; in an empty directory the failure `no_file` means that it worked."""
    begun = await start(api.factory, HERE)
    trigger = RunTrigger.SCHEDULE if scheduled else RunTrigger.RUN_NOW
    values = {"from_disk": False, "trigger": trigger}
    await write(api.factory, sa.update(run_table).where(run_table.c.id == begun.id).values(values))
    await execute(api.factory, begun.id)
    return await api.factory.runs.get(HERE, begun.id)


async def events(api: Api, **query: Any) -> list[dict[str, Any]]:
    """Connection events, the newest first."""
    items: list[dict[str, Any]] = (await api.get("/connection-events", params=query)).json()["items"]
    return items


async def stopped(api: Api, server: OpenSshServer, **changes: Any) -> Any:
    """A connection whose server shows another host key than the pinned one, and the run that met it."""
    await saved(api, body(server, fingerprint=STALE, **changes))
    met = await run(api, scheduled=True)
    assert met.failure_code == "sftp_fingerprint_mismatch"
    return met
