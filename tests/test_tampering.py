"""A stored ciphertext that was altered, cut or moved: refused wherever it is read, and nothing is sent."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from app.constants import ConnectionAction, RunStatus
from app.pipeline.connection_trail import Actor
from app.services import run_reporting
from app.storage import runs
from app.storage.connection_events import event
from app.storage.sftp_connection import connection
from app.storage.ssh_algorithms import algorithms
from app.storage.ssh_attempt import Attempt
from tests.support.api import HERE, THERE, Api, problem
from tests.support.imports import empty_pdf, run_import, run_table, select, write
from tests.support.keyring import target
from tests.support.openssh import OpenSshServer
from tests.support.runs import ended_run
from tests.support.sftp import key_target

FIELDS = ("host", "username", "private_key", "password", "fingerprint")


def flipped(token: str) -> str:
    middle = len(token) - 20
    return token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]


SPOILT: dict[str, Callable[[str], str]] = {
    "altered": flipped,
    "cut": lambda token: token[:-8],
    "cut to its key": lambda token: token[:12],
    "empty": lambda _: "",
    "in clear": lambda _: "127.0.0.1",
    "of another format": lambda token: token.replace("v1.", "v2."),
    "of another key": lambda token: token.replace(token[3:11], "00000000"),
    "not of this alphabet": lambda token: token[:-4] + "łłłł",
}
spoilt = pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())


async def save(api: Api, server: OpenSshServer, district: str = HERE) -> None:
    """Save a connection that works, whose key has a passphrase that it does not need."""
    found = key_target(server)
    assert found.private_key
    body = {
        "host": found.host,
        "port": found.port,
        "username": found.username,
        "password": "not needed",
        "private_key": found.private_key.get_secret_value(),
        "fingerprint": found.fingerprint,
        "directory": found.directory,
    }
    saved = await api.call("PUT", "/sftp-connection", body, district=district)
    assert saved.status_code == 201, saved.text


async def change(api: Api, field: str, token: object, district: str = HERE) -> None:
    where = connection.c.district_id == district
    await write(api.factory, sa.update(connection).where(where).values({f"{field}_encrypted": token}))


async def ciphertext(api: Api, field: str, district: str = HERE) -> str:
    column = connection.c[f"{field}_encrypted"]
    [found] = await select(api.factory, sa.select(column).where(connection.c.district_id == district))
    return str(found[column.name])


@pytest.fixture(autouse=True)
def _no_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)


async def refused(api: Api, server: OpenSshServer, district: str = HERE) -> None:
    """Fail unless the connection is neither shown nor used; nothing may even knock at the server."""
    before = server.log().count("Connection from")
    problem(await api.get("/sftp-connection", district=district), 503, "service-unavailable")
    tried = await api.call("POST", "/sftp-connection/test", district=district)
    problem(tried, 503, "service-unavailable")
    run = await run_import(api.factory, None, district)
    assert (run.status, run.failure_code) == (RunStatus.FAILED, "internal_error")
    assert run.failure_message
    assert "cannot be decrypted" in run.failure_message
    assert server.log().count("Connection from") == before


async def test_the_connection_works_as_it_was_saved(api: Api, openssh_server: OpenSshServer) -> None:
    """Without this the others would prove nothing."""
    await save(api, openssh_server)
    before = openssh_server.log().count("Connection from")
    assert (await api.call("POST", "/sftp-connection/test")).json()["ok"]
    assert openssh_server.log().count("Connection from") == before + 1


@spoilt
async def test_a_spoilt_part_of_the_connection_is_refused(
    api: Api, openssh_server: OpenSshServer, spoil: Callable[[str], str]
) -> None:
    await save(api, openssh_server)
    for field in FIELDS:
        good = await ciphertext(api, field)
        await change(api, field, spoil(good))
        await refused(api, openssh_server)
        await change(api, field, good)
    assert (await api.call("POST", "/sftp-connection/test")).json()["ok"]


async def test_parts_that_changed_places_are_refused(api: Api, openssh_server: OpenSshServer) -> None:
    """Between columns, and between districts: good ciphertexts, all under the present key."""
    for district in (HERE, THERE):
        await save(api, openssh_server, district)
    for field, other in (("password", "private_key"), ("host", "username"), ("username", "fingerprint")):
        for source in (other, field):
            good = await ciphertext(api, field)
            await change(api, field, await ciphertext(api, source, THERE if source == field else HERE))
            await refused(api, openssh_server)
            await change(api, field, good)
    assert (await api.call("POST", "/sftp-connection/test")).json()["ok"]


async def test_a_row_of_another_district_is_refused_as_a_whole(
    api: Api, openssh_server: OpenSshServer
) -> None:
    """What somebody who can write to the database would do to read another district's connection."""
    await save(api, openssh_server)
    await write(
        api.factory,
        sa.update(connection).where(connection.c.district_id == HERE).values(district_id=THERE),
    )
    await refused(api, openssh_server, THERE)


async def add_event(api: Api, district: str) -> dict[str, Any]:
    actor = Actor(district, ConnectionAction.SCAN, "admin")
    await api.factory.attempts.record(actor, Attempt(target(district), algorithms()), None)
    scans = sa.select(event).where(event.c.district_id == district, event.c.action == "scan")
    [found] = await select(api.factory, scans)
    return found


async def test_spoilt_and_moved_parts_of_events_are_refused(api: Api) -> None:
    ours, theirs = await add_event(api, HERE), await add_event(api, THERE)
    await save_anywhere(api)
    swapped = [theirs["host_encrypted"], ours["username_encrypted"]]
    of_a_connection = await ciphertext(api, "host")
    for token in (*(spoil(ours["host_encrypted"]) for spoil in SPOILT.values()), *swapped, of_a_connection):
        change = sa.update(event).where(event.c.id == ours["id"]).values(host_encrypted=token)
        await write(api.factory, change)
        problem(await api.get("/connection-events"), 503, "service-unavailable")
        assert (await api.get("/connection-events", district=THERE)).status_code == 200
    restored = sa.update(event).where(event.c.id == ours["id"])
    await write(api.factory, restored.values(host_encrypted=ours["host_encrypted"]))
    [shown] = (await api.get("/connection-events", params={"action": "scan"})).json()["items"]
    assert shown["host"] == target(HERE).host


async def save_anywhere(api: Api) -> None:
    body = {
        "host": "sftp.state.example", "port": 22, "username": "d", "password": "p",
        "fingerprint": "SHA256:" + "A" * 43, "directory": "/",
    }  # fmt: skip
    assert (await api.call("PUT", "/sftp-connection", body)).status_code == 201


async def test_spoilt_and_moved_error_logs_are_refused(api: Api) -> None:
    found = [ended_run(RunStatus.FAILED, district_id=district) for district in (HERE, THERE)]
    for run in found:
        place = runs.error_log_place(run.id)
        run.error_log_encrypted = api.factory.cipher.encrypt(f"of {run.district_id}", place)
    tokens = [str(run.error_log_encrypted) for run in found]
    await api.add(*found)
    path = f"/runs/{found[0].id}/error-log"
    assert (await api.get(path)).text == f"of {HERE}"
    event_text = (await add_event(api, HERE))["host_encrypted"]
    for token in (*(spoil(tokens[0]) for spoil in SPOILT.values()), tokens[1], event_text):
        change = sa.update(run_table).where(run_table.c.id == found[0].id)
        await write(api.factory, change.values(error_log_encrypted=token))
        answer = problem(await api.get(path), 503, "service-unavailable")
        assert "error log" in answer["detail"]
