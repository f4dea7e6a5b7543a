"""Two pins, and a host key that was changed (B4, I11)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.constants import ConnectionAction, Role
from app.failures import SftpFingerprintMismatch
from app.pipeline.connection_trail import Actor
from tests.support.api import THERE, Api, places, problem
from tests.support.connections import ACCEPT, REJECT, STALE, body, events, run, saved, shown, stopped
from tests.support.openssh import OpenSshServer


async def test_a_changed_host_key_stops_runs(
    api: Api, openssh_server: OpenSshServer, logs: list[Any]
) -> None:
    met = await stopped(api, openssh_server)
    connection = await shown(api)
    assert (connection["state"], connection["until"]) == ("stopped", None)
    change = connection["host_key_change"]
    assert change["run_id"] == str(met.id)
    offered = {key["algorithm"]: key["fingerprint"] for key in change["offered"]}
    assert offered["ssh-ed25519"] == openssh_server.fingerprint()
    assert [log["event"] for log in logs].count("connection_stopped") == 1
    (event,) = await events(api, failure_code="sftp_fingerprint_mismatch")
    assert event["expected_fingerprint"] == STALE
    assert event["offered"] == change["offered"]
    assert event["address"] == "127.0.0.1"

    before = len(openssh_server.log())
    for scheduled in (True, False):
        again = await run(api, scheduled=scheduled)
        assert again.failure_code == "sftp_fingerprint_mismatch"
        assert "The connection is stopped" in (again.failure_message or "")
        log = await api.factory.runs.error_log("here", again.id)
        assert STALE in log
        assert openssh_server.fingerprint() in log
        assert f"stopped_by_run: {met.id}" in log
    assert openssh_server.log()[before:] == "", "it was contacted"
    assert len(await events(api, action="run")) == 1


async def test_the_offered_key_is_accepted_and_secrets_stay(api: Api, openssh_server: OpenSshServer) -> None:
    await stopped(api, openssh_server)
    problem(await api.call("POST", ACCEPT, {"fingerprint": "SHA256:" + "E" * 43}), 409, "conflict")
    assert places(await api.call("POST", ACCEPT, {"fingerprint": "nonsense"})) == [["body", "fingerprint"]]
    assert (await shown(api))["state"] == "stopped"

    answer = await api.call("POST", ACCEPT, {"fingerprint": openssh_server.fingerprint()})
    assert answer.status_code == 200
    assert answer.json() == await shown(api)
    assert answer.headers["ETag"] == f'"{answer.json()["version"]}"'
    assert (answer.json()["state"], answer.json()["host_key_change"]) == ("ok", None)
    assert answer.json()["fingerprint"] == openssh_server.fingerprint()
    assert answer.json()["has_private_key"] is True
    (event,) = await events(api, action="host_key_accepted")
    assert (event["by"], event["previous_fingerprint"]) == ("kmarsh", STALE)
    assert event["fingerprint"] == openssh_server.fingerprint()
    assert (await run(api, scheduled=True)).failure_code == "no_file"
    assert (await shown(api))["host_key_in_use"] == "current"


async def test_saving_ends_a_stop(api: Api, openssh_server: OpenSshServer) -> None:
    await stopped(api, openssh_server)
    await saved(api, body(openssh_server), 200)
    assert (await shown(api))["state"] == "ok"
    assert (await run(api, scheduled=True)).failure_code == "no_file"


async def test_a_test_by_hand_finds_a_changed_key_too(api: Api, openssh_server: OpenSshServer) -> None:
    await saved(api, body(openssh_server, fingerprint=STALE))
    await api.call("POST", "/sftp-connection/test")
    connection = await shown(api)
    assert (connection["state"], connection["host_key_change"]["run_id"]) == ("stopped", None)
    assert (await run(api)).failure_code == "sftp_fingerprint_mismatch"


async def test_an_attempt_that_ends_after_a_save_says_nothing_of_what_was_saved(
    api: Api, openssh_server: OpenSshServer
) -> None:
    await saved(api, body(openssh_server, fingerprint=STALE))
    loaded = await api.factory.attempts.load("here")
    await saved(api, body(openssh_server), 200)
    with pytest.raises(SftpFingerprintMismatch):
        async with api.factory.attempts.session(loaded, Actor("here", ConnectionAction.TEST, "kmarsh")):
            pass
    assert (await shown(api))["state"] == "ok"
    assert len(await events(api, failure_code="sftp_fingerprint_mismatch")) == 1


@pytest.mark.parametrize("pinned", ["current", "announced"])
async def test_either_pin_is_accepted(
    api: Api, openssh_server: OpenSshServer, pinned: str, logs: list[Any]
) -> None:
    real = openssh_server.fingerprint()
    pins = {"current": (real, STALE), "announced": (STALE, real)}[pinned]
    connection = await saved(api, body(openssh_server, fingerprint=pins[0], announced_fingerprint=pins[1]))
    assert connection["announced_since"] is not None
    for _ in range(2):
        assert (await run(api)).failure_code == "no_file"
    connection = await shown(api)
    assert (connection["host_key_in_use"], connection["fingerprint"]) == (pinned, pins[0])
    seen = await events(api, action="announced_key_seen")
    assert len(seen) == (pinned == "announced")
    assert [log["event"] for log in logs].count("announced_host_key_seen") == len(seen)


async def test_the_announced_pin_becomes_the_current_one_when_a_person_says_so(
    api: Api, openssh_server: OpenSshServer
) -> None:
    real = openssh_server.fingerprint()
    await saved(api, body(openssh_server, fingerprint=STALE, announced_fingerprint=real))
    assert (await api.call("POST", ACCEPT, {"fingerprint": real})).status_code == 200
    connection = await shown(api)
    assert (connection["fingerprint"], connection["announced_fingerprint"]) == (real, None)
    assert connection["announced_since"] is None
    assert (await run(api)).failure_code == "no_file"


@pytest.mark.parametrize(("days", "code"), [(-2, "no_file"), (2, "sftp_fingerprint_mismatch")])
async def test_an_announced_pin_counts_from_its_day(
    api: Api, openssh_server: OpenSshServer, days: int, code: str
) -> None:
    day = (datetime.now(UTC) + timedelta(days=days)).date().isoformat()
    pins = {"fingerprint": STALE, "announced_fingerprint": openssh_server.fingerprint()}
    connection = await saved(api, body(openssh_server, **pins, announced_from=day))
    assert connection["announced_from"] == day
    assert (await run(api)).failure_code == code


async def test_a_new_pin_needs_the_secret_and_one_that_goes_does_not(
    api: Api, openssh_server: OpenSshServer
) -> None:
    full = body(openssh_server, announced_fingerprint=STALE)
    await saved(api, full)
    plain = {name: value for name, value in full.items() if name != "private_key"}
    await saved(api, plain, 200)
    other = plain | {"announced_fingerprint": "SHA256:" + "E" * 43}
    assert places(await api.call("PUT", "/sftp-connection", other)) == [["body", "private_key"]]
    gone = await saved(api, plain | {"announced_fingerprint": None}, 200)
    assert (gone["announced_fingerprint"], gone["has_private_key"]) == (None, True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"announced_fingerprint": "SHA256:short"}, "announced_fingerprint"),
        ({"announced_fingerprint": "same"}, "announced_fingerprint"),
        ({"announced_from": "2026-12-01"}, "announced_from"),
        ({"announced_fingerprint": STALE, "announced_from": "1.12.2026"}, "announced_from"),
    ],
)
async def test_pins_that_make_no_sense(
    api: Api, openssh_server: OpenSshServer, change: dict[str, str], field: str
) -> None:
    full = body(openssh_server, **change)
    if full.get("announced_fingerprint") == "same":
        full["announced_fingerprint"] = full["fingerprint"]
    assert places(await api.call("PUT", "/sftp-connection", full)) == [["body", field]]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.HR, Role.OPS])
async def test_only_an_admin_accepts(api: Api, openssh_server: OpenSshServer, role: Role) -> None:
    await stopped(api, openssh_server)
    real = {"fingerprint": openssh_server.fingerprint()}
    problem(await api.call("POST", ACCEPT, real, role=role), 403, "forbidden")
    problem(await api.call("POST", REJECT, role=role), 403, "forbidden")
    problem(await api.call("POST", ACCEPT, real, district=THERE), 404, "not-found")
