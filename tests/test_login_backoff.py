"""Refused logins make the schedule wait, so that the state does not lock the account (I10)."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.models import ConnectionState
from app.models.base import utc_now
from app.pipeline.attempts import pause_after
from app.settings import Settings
from tests.support.api import Api
from tests.support.connections import body, events, run, saved, shown
from tests.support.imports import write
from tests.support.openssh import OpenSshServer, free_port

state_table = ConnectionState.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


def test_how_long_the_schedule_waits(settings: Settings) -> None:
    pauses = [pause_after(number, settings) for number in range(9)]
    assert pauses == [None] * 3 + [timedelta(days=days) for days in (1, 2, 4, 7, 7, 7)]
    quick = settings.model_copy(update={"sftp_login_failures": 1, "sftp_backoff_hours": 0.5})
    assert pause_after(1, quick) == timedelta(minutes=30)
    assert pause_after(10_000, quick) == timedelta(hours=3.5)


async def refused(api: Api, server: OpenSshServer, times: int = 3) -> dict[str, Any]:
    """A connection whose user is not known, used `times` times by the schedule."""
    connection = body(server, username="certsync-nobody")
    await saved(api, connection)
    for _ in range(times):
        assert (await run(api, scheduled=True)).failure_code == "sftp_auth_failed"
    return connection


async def wait_is_over(api: Api) -> None:
    await write(api.factory, sa.update(state_table).values(backing_off_until=utc_now()))


async def test_the_schedule_waits_after_three_failures(
    api: Api, openssh_server: OpenSshServer, logs: list[Any]
) -> None:
    await refused(api, openssh_server, 2)
    assert ((await shown(api))["state"], (await shown(api))["consecutive_failures"]) == ("ok", 2)
    await run(api, scheduled=True)
    connection = await shown(api)
    assert (connection["state"], connection["consecutive_failures"]) == ("backing_off", 3)
    (told,) = [log for log in logs if log["event"] == "connection_backing_off"]
    assert (told["log_level"], told["login_failures"], told["hours"]) == ("error", 3, 24)

    before = len(openssh_server.log())
    waiting = await run(api, scheduled=True)
    assert waiting.failure_code == "sftp_auth_failed"
    message = waiting.failure_message or ""
    assert connection["until"].replace("T", " ")[:16] in message
    assert "save the connection" in message
    assert "by hand" in message
    assert "contacted: false" in await api.factory.runs.error_log("here", waiting.id)
    assert openssh_server.log()[before:] == "", "it was contacted"
    assert len(await events(api, action="run")) == 3
    assert (await shown(api))["consecutive_failures"] == 3


async def test_the_wait_grows_with_each_failure(api: Api, openssh_server: OpenSshServer) -> None:
    await refused(api, openssh_server)
    for failures, days in ((4, 2), (5, 4), (6, 7), (7, 7)):
        await wait_is_over(api)
        before = utc_now()
        await run(api, scheduled=True)
        connection = await shown(api)
        assert connection["consecutive_failures"] == failures
        until = datetime.fromisoformat(connection["until"])
        assert before + timedelta(days=days) <= until <= utc_now() + timedelta(days=days)


async def test_run_now_and_tests_do_not_wait_and_count(api: Api, openssh_server: OpenSshServer) -> None:
    await refused(api, openssh_server)
    before = len(openssh_server.log())
    assert (await run(api)).failure_code == "sftp_auth_failed"
    assert "userauth-request for user certsync-nobody" in openssh_server.log()[before:]
    await api.call("POST", "/sftp-connection/test")
    assert (await shown(api))["consecutive_failures"] == 5


async def test_saving_ends_the_wait(api: Api, openssh_server: OpenSshServer) -> None:
    connection = await refused(api, openssh_server)
    await saved(api, connection, 200)
    shows = await shown(api)
    assert (shows["state"], shows["until"], shows["consecutive_failures"]) == ("ok", None, 0)
    before = len(openssh_server.log())
    await run(api, scheduled=True)
    assert "userauth-request for user certsync-nobody" in openssh_server.log()[before:]


async def test_a_login_that_succeeds_ends_the_wait(api: Api, openssh_server: OpenSshServer) -> None:
    await saved(api, body(openssh_server))
    await run(api)
    waiting = {"login_failures": 5, "backing_off_until": utc_now() + timedelta(days=1)}
    await write(api.factory, sa.update(state_table).values(waiting))
    assert (await shown(api))["state"] == "backing_off"
    assert (await run(api, scheduled=True)).failure_code == "sftp_auth_failed"
    assert (await run(api)).failure_code == "no_file"
    shows = await shown(api)
    assert (shows["state"], shows["consecutive_failures"]) == ("ok", 0)
    assert (await run(api, scheduled=True)).failure_code == "no_file"


@pytest.mark.parametrize("change", [{"port": 0}, {"directory": "/no/such/place"}])
async def test_other_failures_are_tried_at_each_slot(
    api: Api, openssh_server: OpenSshServer, change: dict[str, Any]
) -> None:
    if "port" in change:
        change = {"port": free_port()}
    await saved(api, body(openssh_server, **change))
    for _ in range(4):
        await run(api, scheduled=True)
    assert ((await shown(api))["state"], (await shown(api))["consecutive_failures"]) == ("ok", 0)
    assert len(await events(api, action="run")) == 4
