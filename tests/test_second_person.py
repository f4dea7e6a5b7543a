"""The second person who has to agree to another host key (I11)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.settings import Settings
from app.storage.sftp_connection import connection as connection_table
from tests.support.api import Api, problem, running_api
from tests.support.connections import ACCEPT, REJECT, STALE, as_user, body, events, run, saved, stopped
from tests.support.imports import USER, write
from tests.support.oidc import bearer
from tests.support.openssh import OpenSshServer


@pytest.fixture
async def two(settings: Settings) -> AsyncIterator[Api]:
    """The application where a host key needs two administrators."""
    async with running_api(settings.model_copy(update={"host_key_second_person": True})) as api:
        yield api


async def test_a_second_person_confirms_an_offered_key(two: Api, openssh_server: OpenSshServer) -> None:
    real = {"fingerprint": openssh_server.fingerprint()}
    await stopped(two, openssh_server)
    first = await as_user(two, "ann", "POST", ACCEPT, real)
    assert (first.status_code, first.json()["state"]) == (200, "stopped")
    assert first.json()["proposal"]["proposed_by"] == "ann"
    assert first.json()["fingerprint"] == STALE
    problem(await as_user(two, "ann", "POST", ACCEPT, real), 409, "second-person-needed")
    assert (await run(two)).failure_code == "sftp_fingerprint_mismatch"

    second = await as_user(two, "bob", "POST", ACCEPT, real)
    assert (second.json()["state"], second.json()["proposal"]) == ("ok", None)
    assert (await run(two)).failure_code == "no_file"
    steps = [(event["action"], event["by"]) for event in await events(two)]
    assert steps[:2] == [("run", USER), ("change_confirmed", "bob")]
    assert steps[2:4] == [("change_proposed", "ann"), ("run", USER)]


async def test_a_service_token_is_no_second_person(two: Api, openssh_server: OpenSshServer) -> None:
    real = {"fingerprint": openssh_server.fingerprint()}
    await stopped(two, openssh_server)
    made = await two.call("POST", "/service-tokens", {"name": "x", "scopes": ["connection:write"]})
    program: dict[str, Any] = {"role": None, "headers": bearer(made.json()["token"])}
    problem(await two.call("POST", ACCEPT, real, **program), 409, "second-person-needed")
    assert (await as_user(two, "ann", "POST", ACCEPT, real)).json()["proposal"]["proposed_by"] == "ann"
    problem(await two.call("POST", ACCEPT, real, **program), 409, "second-person-needed")
    other = body(openssh_server, fingerprint="SHA256:" + "E" * 43)
    problem(await two.call("PUT", "/sftp-connection", other, **program), 409, "second-person-needed")


async def test_a_connection_that_cannot_be_read_is_no_way_around_the_second_person(
    two: Api, openssh_server: OpenSshServer
) -> None:
    await saved(two, body(openssh_server))
    await write(two.factory, sa.update(connection_table).values(host_encrypted="v1.spoilt.x"))
    other = body(openssh_server, fingerprint=STALE)
    answer = await as_user(two, "ann", "PUT", "/sftp-connection", other)
    assert "cannot be decrypted" in problem(answer, 503, "service-unavailable")["detail"]


async def test_saving_another_fingerprint_waits_for_a_second_person(
    two: Api, openssh_server: OpenSshServer
) -> None:
    old = await saved(two, body(openssh_server))
    new = body(openssh_server, fingerprint=STALE, host="new.example", password="opens nothing")
    answer = await as_user(two, "ann", "PUT", "/sftp-connection", new)
    assert answer.status_code == 202
    assert answer.json() | {"proposal": None} == old
    proposal = answer.json()["proposal"]
    assert (proposal["host"], proposal["fingerprint"]) == ("new.example", STALE)
    assert openssh_server.private_key[40:80] not in answer.text
    assert "opens nothing" not in answer.text

    confirm = {"fingerprint": STALE, "proposal_id": proposal["id"]}
    problem(await as_user(two, "ann", "POST", ACCEPT, confirm), 409, "second-person-needed")
    unnamed = await as_user(two, "bob", "POST", ACCEPT, {"fingerprint": STALE})
    assert "proposal_id" in problem(unnamed, 409, "conflict")["detail"]
    confirmed = (await as_user(two, "bob", "POST", ACCEPT, confirm)).json()
    assert (confirmed["host"], confirmed["fingerprint"]) == ("new.example", STALE)
    assert (confirmed["has_password"], confirmed["has_private_key"]) == (True, True)
    (event,) = await events(two, action="change_confirmed")
    assert (event["by"], event["previous_fingerprint"]) == ("bob", old["fingerprint"])


async def test_an_announced_pin_waits_for_a_second_person_too(
    two: Api, openssh_server: OpenSshServer
) -> None:
    await saved(two, body(openssh_server))
    answer = await as_user(
        two, "ann", "PUT", "/sftp-connection", body(openssh_server, announced_fingerprint=STALE)
    )
    assert answer.status_code == 202
    confirm = {"fingerprint": STALE, "proposal_id": answer.json()["proposal"]["id"]}
    assert (await as_user(two, "bob", "POST", ACCEPT, confirm)).json()["announced_fingerprint"] == STALE


async def test_a_proposal_is_rejected(two: Api, openssh_server: OpenSshServer) -> None:
    problem(await as_user(two, "bob", "POST", REJECT), 404, "not-found")
    await stopped(two, openssh_server)
    real = {"fingerprint": openssh_server.fingerprint()}
    await as_user(two, "ann", "POST", ACCEPT, real)
    rejected = (await as_user(two, "bob", "POST", REJECT)).json()
    assert (rejected["proposal"], rejected["state"]) == (None, "stopped")
    (event,) = await events(two, action="change_rejected")
    assert (event["by"], event["proposed_by"], event["fingerprint"]) == ("bob", "ann", real["fingerprint"])
    problem(await as_user(two, "bob", "POST", REJECT), 404, "not-found")


async def test_a_save_without_another_pin_needs_one_person_and_ends_a_proposal(
    two: Api, openssh_server: OpenSshServer
) -> None:
    full = body(openssh_server)
    await saved(two, full)
    await as_user(two, "ann", "PUT", "/sftp-connection", full | {"fingerprint": STALE})
    assert (await saved(two, full | {"directory": "/other"}, 200))["proposal"] is None
    problem(await as_user(two, "bob", "POST", ACCEPT, {"fingerprint": STALE}), 409, "conflict")


async def test_the_day_of_an_announced_pin_is_part_of_what_two_agree_on(
    two: Api, openssh_server: OpenSshServer
) -> None:
    real = openssh_server.fingerprint()
    first, later = ((datetime.now(UTC) + timedelta(days=days)).date().isoformat() for days in (3, 30))
    await saved(two, body(openssh_server, fingerprint=STALE))
    full = body(openssh_server, fingerprint=STALE, announced_fingerprint=real, announced_from=later)
    proposal = (await as_user(two, "ann", "PUT", "/sftp-connection", full)).json()["proposal"]
    confirm = {"fingerprint": real, "proposal_id": proposal["id"]}
    assert (await as_user(two, "bob", "POST", ACCEPT, confirm)).json()["announced_from"] == later

    sooner = await as_user(two, "ann", "PUT", "/sftp-connection", full | {"announced_from": first})
    assert (sooner.status_code, sooner.json()["announced_from"]) == (202, later)
    await as_user(two, "bob", "POST", REJECT)
    at_once = await as_user(two, "ann", "POST", ACCEPT, {"fingerprint": real})
    assert (at_once.json()["fingerprint"], at_once.json()["announced_fingerprint"]) == (STALE, real)
    assert (await run(two)).failure_code == "sftp_fingerprint_mismatch"
    assert (await as_user(two, "bob", "POST", ACCEPT, {"fingerprint": real})).json()["fingerprint"] == real
    assert (await run(two)).failure_code == "no_file"


async def test_the_day_may_be_put_off_by_one_person(two: Api, openssh_server: OpenSshServer) -> None:
    full = body(openssh_server, announced_fingerprint=STALE)
    await as_user(two, "ann", "PUT", "/sftp-connection", full)
    later = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    assert (await saved(two, full | {"announced_from": later}, 200))["announced_from"] == later


async def test_a_program_does_not_make_an_announced_pin_the_current_one(
    two: Api, openssh_server: OpenSshServer
) -> None:
    await saved(two, body(openssh_server, announced_fingerprint=STALE))
    made = await two.call("POST", "/service-tokens", {"name": "x", "scopes": ["connection:write"]})
    program: dict[str, Any] = {"role": None, "headers": bearer(made.json()["token"])}
    problem(await two.call("POST", ACCEPT, {"fingerprint": STALE}, **program), 409, "second-person-needed")
    assert (await as_user(two, "ann", "POST", ACCEPT, {"fingerprint": STALE})).json()["fingerprint"] == STALE
