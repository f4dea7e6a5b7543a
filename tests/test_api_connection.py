"""The connection to the state's server over HTTP: saved sealed, shown without secrets, tried out."""

import asyncio
from typing import Any

import asyncssh
import pytest
import sqlalchemy as sa

from app.constants import Role
from app.crypto import DecryptionError
from app.models import ConnectionEvent, SftpConnection
from app.storage.sftp_connection import open_row
from tests.support.api import HERE, THERE, Api, places, problem

FINGERPRINT = "SHA256:uNiVztksCsDhcc0u9e8BrcQXKmPQ3ZtNvrk0Yq3fJYU"
PLAIN: dict[str, Any] = {
    "host": "sftp.state.example",
    "port": 2222,
    "username": "district42",
    "fingerprint": FINGERPRINT,
    "directory": "/outgoing",
}
UNTRIED: dict[str, Any] = {
    "announced_fingerprint": None,
    "announced_from": None,
    "announced_since": None,
    "host_key_in_use": None,
    "host_key_seen_at": None,
    "state": "ok",
    "until": None,
    "consecutive_failures": 0,
    "host_key_change": None,
    "proposal": None,
}
SECRET = "correct horse battery"
FULL = PLAIN | {"password": SECRET}
KEY = asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh").decode()
LOCKED_KEY = asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh", "opener").decode()


async def save(api: Api, **changes: Any) -> dict[str, Any]:
    response = await api.call("PUT", "/sftp-connection", FULL | changes)
    assert response.status_code in (200, 201), response.text
    body: dict[str, Any] = response.json()
    assert response.headers["ETag"] == f'"{body["version"]}"'
    return body


async def row(api: Api, table: type[Any] = SftpConnection, **values: Any) -> Any:
    async with api.factory.database.read() as session:
        query: Any = sa.select(table).filter_by(**values)
        return (await session.exec(query)).scalar_one()


async def secrets(api: Api) -> tuple[str | None, str | None]:
    target = open_row(api.factory.cipher, await row(api))
    password, key = (secret and secret.get_secret_value() for secret in (target.password, target.private_key))
    return password or None, key or None


async def test_saved_and_shown_without_secrets(api: Api, logs: list[Any]) -> None:
    problem(await api.get("/sftp-connection"), 404, "not-found")
    first = await api.call("PUT", "/sftp-connection", FULL)
    assert first.status_code == 201
    shown = PLAIN | {"has_password": True, "has_private_key": False} | UNTRIED
    assert first.json() == shown | {
        "version": first.json()["version"],
        "fingerprint_since": first.json()["fingerprint_since"],
    }
    assert (await api.get("/sftp-connection")).json() == first.json()
    second = await api.call("PUT", "/sftp-connection", FULL | {"directory": "/other"})
    assert second.status_code == 200
    assert second.json()["version"] > first.json()["version"]
    assert logs
    assert SECRET not in str([first.text, second.text, logs])
    assert "district42" not in str(logs)


async def test_everything_but_port_and_directory_is_encrypted(api: Api) -> None:
    await save(api, private_key=KEY)
    stored = str((await row(api)).model_dump())
    for value in (FULL["host"], FULL["username"], SECRET, FINGERPRINT, FINGERPRINT[7:], KEY[50:80]):
        assert value not in stored
    assert await secrets(api) == (SECRET, KEY)


async def test_a_ciphertext_that_was_moved_does_not_decrypt(api: Api) -> None:
    await save(api)
    await api.call("PUT", "/sftp-connection", FULL | {"host": "theirs.example"}, district=THERE)
    async with api.factory.database.write() as session:
        ours, theirs = [await session.get(SftpConnection, district) for district in (HERE, THERE)]
        assert ours is not None
        assert theirs is not None
        theirs.password_encrypted = ours.password_encrypted
    with pytest.raises(DecryptionError):
        open_row(api.factory.cipher, theirs)
    problem(await api.get("/sftp-connection", district=THERE), 503, "service-unavailable")
    repaired = await api.call("PUT", "/sftp-connection", FULL, district=THERE)
    assert repaired.json()["host"] == FULL["host"]


async def test_a_secret_left_out_is_kept_for_the_same_server_and_user_only(api: Api) -> None:
    await save(api, private_key=KEY)
    kept = await api.call("PUT", "/sftp-connection", PLAIN | {"directory": "/new"})
    assert kept.json()["directory"] == "/new"
    assert await secrets(api) == (SECRET, KEY)
    other = FINGERPRINT.replace("u", "v", 1)
    for change in ({"host": "evil.example"}, {"port": 22}, {"username": "root"}, {"fingerprint": other}):
        assert places(await api.call("PUT", "/sftp-connection", PLAIN | change)) == [["body", "password"]]
        half = await api.call("PUT", "/sftp-connection", PLAIN | change | {"password": "new"})
        assert places(half) == [["body", "private_key"]]
    assert (await api.get("/sftp-connection")).json() == kept.json()
    moved = PLAIN | {"host": "new.example", "password": "new", "private_key": None}
    assert (await api.call("PUT", "/sftp-connection", moved)).json()["has_private_key"] is False
    assert await secrets(api) == ("new", None)


async def test_one_credential_is_needed(api: Api) -> None:
    assert places(await api.call("PUT", "/sftp-connection", PLAIN)) == [["body", "password"]]
    await save(api)
    assert places(await api.call("PUT", "/sftp-connection", PLAIN | {"password": None})) == [
        ["body", "password"]
    ]


async def test_private_keys_are_checked(api: Api) -> None:
    for key, password in (("nonsense", None), (KEY[:100], None), (LOCKED_KEY, None), (LOCKED_KEY, "wrong")):
        body = PLAIN | {"private_key": key, "password": password}
        refused = await api.call("PUT", "/sftp-connection", body)
        assert places(refused) == [["body", "private_key"]]
        assert key[:60] not in refused.text
    await save(api, private_key=LOCKED_KEY, password="opener")
    assert places(await api.call("PUT", "/sftp-connection", PLAIN | {"password": "other"})) == [
        ["body", "private_key"]
    ]
    assert await secrets(api) == ("opener", LOCKED_KEY)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host": "sftp://state.example"}, "host"),
        ({"host": "user@state.example"}, "host"),
        ({"host": "state.example/dir"}, "host"),
        ({"host": "two words"}, "host"),
        ({"host": "a\x00b"}, "host"),
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "22"}, "port"),
        ({"port": 22.5}, "port"),
        ({"username": "a\nb"}, "username"),
        ({"password": ""}, "password"),
        ({"password": 12345}, "password"),
        ({"fingerprint": "MD5:" + ":".join(["ab"] * 16)}, "fingerprint"),
        ({"fingerprint": "SHA256:short"}, "fingerprint"),
        ({"fingerprint": None}, "fingerprint"),
        ({"directory": ""}, "directory"),
        ({"directory": "/a\x00b"}, "directory"),
        ({"check_host_key": False}, "check_host_key"),
    ],
)
async def test_bad_values_are_located_and_not_echoed(api: Api, change: dict[str, Any], field: str) -> None:
    refused = await api.call("PUT", "/sftp-connection", FULL | change)
    assert places(refused) == [["body", field]]
    assert SECRET not in refused.text
    assert "12345" not in refused.text


async def test_fingerprint_is_normalised(api: Api) -> None:
    assert (await save(api, fingerprint=FINGERPRINT[7:] + "="))["fingerprint"] == FINGERPRINT


async def test_if_match(api: Api) -> None:
    problem(
        await api.call("PUT", "/sftp-connection", FULL, headers={"If-Match": "*"}), 412, "precondition-failed"
    )
    old = (await save(api))["version"]
    new = (await save(api, directory="/b"))["version"]
    stale = await api.call("PUT", "/sftp-connection", FULL, headers={"If-Match": f'"{old}"'})
    problem(stale, 412, "precondition-failed")
    right = await api.call("PUT", "/sftp-connection", FULL, headers={"If-Match": f'"{new}"'})
    assert right.status_code == 200


@pytest.mark.parametrize("role", [Role.VIEWER, Role.HR, Role.OPS])
async def test_only_an_admin_changes_or_tries_the_connection(api: Api, role: Role) -> None:
    await save(api)
    for method, path, body in (
        ("PUT", "/sftp-connection", FULL),
        ("POST", "/sftp-connection/test", None),
        ("POST", "/sftp-connection/scan", {"host": "127.0.0.1"}),
    ):
        problem(await api.call(method, path, body, role=role), 403, "forbidden")
    problem(await api.get("/sftp-connection", district=THERE), 404, "not-found")


@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 200), (Role.HR, 200), (Role.OPS, 403)])
async def test_viewers_read_the_connection(api: Api, role: Role, status: int) -> None:
    await save(api)
    for path in ("/sftp-connection", "/connection-events"):
        assert (await api.get(path, role=role)).status_code == status


async def test_try_out_without_a_connection(api: Api) -> None:
    result = (await api.call("POST", "/sftp-connection/test")).json()
    assert (result["ok"], result["files"], result["failure"]["code"]) == (False, [], "sftp_not_configured")
    assert (await api.get("/connection-events")).json()["items"] == []


async def test_events_are_encrypted_and_of_one_district(api: Api) -> None:
    await save(api, host="127.0.0.1", port=1)
    tried = await api.call("POST", "/sftp-connection/test")
    result = tried.json()
    assert (result["ok"], result["failure"]["code"]) == (False, "sftp_unreachable")
    event = await row(api, ConnectionEvent, action="test")
    for secret in ("127.0.0.1", "district42", FINGERPRINT):
        assert secret not in str(event.model_dump())
    shown, saved = (await api.get("/connection-events")).json()["items"]
    assert (saved["action"], saved["by"], saved["outcome"]) == ("saved", "kmarsh", "success")
    assert (saved["fingerprint"], saved["previous_fingerprint"]) == (FINGERPRINT, None)
    told = {name: value for name, value in shown.items() if value is not None}
    assert told == {
        "id": str(event.id),
        "at": shown["at"],
        "action": "test",
        "by": "kmarsh",
        "host": "127.0.0.1",
        "port": 1,
        "username": "district42",
        "phase": "connect",
        "outcome": "failure",
        "failure_code": "sftp_unreachable",
        "message": result["failure"]["message"],
        "milliseconds": shown["milliseconds"],
        "bytes": 0,
        "request_id": tried.headers["X-Request-ID"],
        "expected_fingerprint": FINGERPRINT,
        "offered": [],
        "exception": "ConnectionRefusedError",
        "error": shown["error"],
    }
    assert (await api.get("/connection-events", district=THERE)).json()["items"] == []


async def test_a_scan_is_recorded_with_who_asked(api: Api) -> None:
    await api.call("POST", "/sftp-connection/scan", {"host": "127.0.0.1", "port": 1})
    (event,) = (await api.get("/connection-events", params={"action": "scan", "by": "kmarsh"})).json()[
        "items"
    ]
    assert (event["host"], event["port"], event["username"]) == ("127.0.0.1", 1, "")
    assert (event["failure_code"], event["run_id"]) == ("sftp_unreachable", None)
    assert (await api.get("/connection-events", params={"by": "else"})).json()["items"] == []


async def test_saved_by_several_at_once(api: Api) -> None:
    saves = [api.call("PUT", "/sftp-connection", FULL | {"directory": f"/{n}"}) for n in range(5)]
    answers = await asyncio.gather(*saves)
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert [answer.status_code for answer in answers].count(201) == 1
    for answer in answers:
        if answer.status_code == 409:
            problem(answer, 409, "conflict")
    assert (await api.get("/sftp-connection")).json() in [answer.json() for answer in answers]
