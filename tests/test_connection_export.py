"""Connection events leave the database: as JSON lines, as lines of syslog, and by their age (I10)."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.constants import ConnectionAction, Role
from app.errors import ServiceUnavailableError
from app.models import ConnectionEvent
from app.models.base import utc_now
from app.pipeline.connection_trail import Actor
from app.services import connection_events as service
from app.settings import Settings
from app.syslog import LONGEST, line
from tests.support.api import HERE, THERE, Api, problem
from tests.support.commands import certsync
from tests.support.connections import STALE, body, events, run, saved
from tests.support.imports import write
from tests.support.openssh import OpenSshServer
from workers.forget import forget

event_table = ConnectionEvent.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
EXPORT = "/connection-events.jsonl"
RFC5424 = re.compile(
    r"<(?P<pri>\d{1,3})>1 (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) "
    r"(?P<host>\S{1,255}) certsync (?P<pid>\d+) "
    r"(?P<msgid>\S{1,32}) - (?P<msg>\{.*\})"
)


async def lines(api: Api, **query: Any) -> list[dict[str, Any]]:
    response = await api.get(EXPORT, params=query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/jsonl")
    assert response.text == "" or response.text.endswith("\n")
    return [json.loads(text) for text in response.text.splitlines()]


async def several(api: Api, server: OpenSshServer) -> None:
    """A save, a scan, a failed run and a good one."""
    await saved(api, body(server, fingerprint=STALE))
    await api.call("POST", "/sftp-connection/scan", {"host": server.host, "port": server.port})
    await run(api)
    await saved(api, body(server), 200)
    await run(api)


async def test_an_export_is_the_list_the_oldest_first(
    api: Api, openssh_server: OpenSshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHUNK", 2)
    await several(api, openssh_server)
    listed = await events(api)
    assert [event["action"] for event in listed] == ["run", "saved", "run", "scan", "saved"]
    assert await lines(api) == listed[::-1]
    assert await lines(api, action="run") == [event for event in listed[::-1] if event["action"] == "run"]
    assert await lines(api, at_from=listed[1]["at"]) == listed[1::-1]
    assert await lines(api, outcome="failure", action="scan") == []
    assert (await api.get(EXPORT, district=THERE)).text == ""
    problem(await api.get(EXPORT, role=Role.OPS), 403, "forbidden")
    problem(await api.get(EXPORT, params={"cursor": "x"}), 422, "validation-failed")


async def test_a_line_of_syslog(api: Api, openssh_server: OpenSshServer) -> None:
    await several(api, openssh_server)
    records = [event.record() async for event in api.factory.connection_events.export(HERE)]
    for record in records:
        found = RFC5424.fullmatch(line(record))
        assert found, line(record)
        assert found["at"] == record["at"]
        assert f"{found['host']}/{found['pid']}" == record["process"]
        assert found["msgid"] == record["action"]
        assert json.loads(found["msg"]) == record
        assert divmod(int(found["pri"]), 8) == (10, 4 if record["outcome"] == "failure" else 5)
        assert len(line(record)) < LONGEST
    failed = records[2]
    assert failed["district"] == HERE
    assert failed["failure_code"] == "sftp_fingerprint_mismatch"
    assert failed["expected_fingerprint"] == STALE
    assert openssh_server.fingerprint() in str(failed["offered"])
    assert failed["server_version"].startswith("SSH-2.0-OpenSSH")
    assert records[4]["recv_cipher"] == "aes128-gcm@openssh.com"
    assert records[4]["host_key_in_use"] == "current"
    for record in records:
        assert openssh_server.private_key[40:80] not in str(record)


def test_what_a_server_says_cannot_make_another_line() -> None:
    record = {"at": "2026-11-22T07:30:00.000Z", "action": "run", "outcome": "failure", "process": "h/1"}
    evil = "\n<0>1 - - - - - - forged\r\n\x00\x1b[2J"
    assert RFC5424.fullmatch(line(record | {"server_version": evil}))
    many = line(record | {"server_ciphers": ["x" * 64] * 500, "message": "kept"})
    assert len(many) < LONGEST
    assert '"message": "kept"' in many
    assert '"shortened": true' in many


async def test_an_attempt_that_is_broken_off_is_kept_too(api: Api, openssh_server: OpenSshServer) -> None:
    await saved(api, body(openssh_server))
    loaded = await api.factory.attempts.load(HERE)
    inside = asyncio.Event()

    async def use() -> None:
        async with api.factory.attempts.session(loaded, Actor(HERE, ConnectionAction.RUN, "kmarsh")):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(use())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (event,) = await events(api, action="run")
    assert (event["outcome"], event["failure_code"], event["phase"]) == ("failure", None, "list")
    assert "broken off" in event["message"]
    assert event["host_key_in_use"] == "current"


async def test_what_breaks_an_attempt_off_is_not_covered_up(
    api: Api, openssh_server: OpenSshServer, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    """A run that is put back must not be taken for a failed one because the database is busy as well."""
    await saved(api, body(openssh_server))
    loaded = await api.factory.attempts.load(HERE)

    async def busy(*_: Any) -> None:
        raise ServiceUnavailableError("The database is busy.")

    monkeypatch.setattr(api.factory.attempts, "record", busy)
    with pytest.raises(asyncio.CancelledError):
        async with api.factory.attempts.session(loaded, Actor(HERE, ConnectionAction.RUN, "kmarsh")):
            raise asyncio.CancelledError
    assert [log for log in logs if log["event"] == "event_not_stored"]


async def test_old_events_are_forgotten(api: Api, openssh_server: OpenSshServer, settings: Settings) -> None:
    await several(api, openssh_server)
    days = settings.connection_event_days
    old, young = (utc_now() - timedelta(days=number) for number in (days + 1, days - 1))
    ids = [event["id"] for event in await lines(api)]
    for event_id, at in zip(ids, (old, young), strict=False):
        await write(
            api.factory,
            sa.update(event_table).where(event_table.c.id == UUID(event_id)).values(at=at),
        )
    await forget({"factory": api.factory})
    assert [event["id"] for event in await lines(api)] == ids[1:]


async def test_the_command_exports_all_districts(api: Api, settings: Settings) -> None:
    for district in (HERE, THERE):
        await api.call("POST", "/sftp-connection/scan", {"host": "127.0.0.1", "port": 1}, district=district)
    url = settings.database_url
    more = {"CERTSYNC_DATABASE_URL": url.get_secret_value()} if url else {}

    def export(*options: str) -> list[str]:
        done = certsync(settings.data_dir, "connection-events", "export", *options, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert [json.loads(text)["district"] for text in export()] == [HERE, THERE]
    (text,) = export("--district", THERE, "--format", "syslog")
    found = RFC5424.fullmatch(text)
    assert found
    assert json.loads(found["msg"])["host"] == "127.0.0.1"
    assert export("--until", "2026-01-01") == []
    assert len(export("--since", "2026-01-01T00:00:00Z")) == 2
    assert (
        certsync(settings.data_dir, "connection-events", "export", "--district", "x", **more).returncode == 1
    )


async def test_an_export_of_what_cannot_be_decrypted_is_no_half_file(
    api: Api, openssh_server: OpenSshServer
) -> None:
    await several(api, openssh_server)
    await write(api.factory, sa.update(event_table).values(host_encrypted="v1:zzz"))
    problem(await api.get(EXPORT), 503, "service-unavailable")
