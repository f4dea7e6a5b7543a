"""Tokens of integrators' programs: made, shown once, listed, limited to their scopes, ended."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from app.access import GRANTABLE, Scope
from app.constants import EVERY_DISTRICT, Role
from app.errors import ConflictError
from app.models import ServiceToken
from tests.support.api import HERE, THERE, Api, places, problem
from tests.support.oidc import bearer

BODY = {"name": "erp-sync", "scopes": ["employees:write", "records:read"]}


async def made(api: Api, **change: Any) -> dict[str, Any]:
    answer = await api.call("POST", "/service-tokens", {**BODY, **change})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def asked(api: Api, token: str, path: str = "/certifications", method: str = "GET") -> Any:
    return await api.call(method, path, role=None, headers=bearer(token))


async def test_a_token_is_shown_once_and_stored_as_a_hash(api: Api) -> None:
    answer = await api.call("POST", "/service-tokens", BODY)
    body = answer.json()
    token = body.pop("token")
    assert token.startswith(f"cst_{HERE}_")
    assert answer.headers["Location"] == f"/api/v1/service-tokens/{body['id']}"
    assert body["scopes"] == sorted(BODY["scopes"])
    assert body["created_by"] == "kmarsh"
    life = datetime.fromisoformat(body["expires_at"]) - datetime.fromisoformat(body["created_at"])
    assert life == timedelta(days=90)
    assert (await api.get(f"/service-tokens/{body['id']}")).json() == body
    assert (await api.get("/service-tokens")).json()["items"] == [body]
    async with api.factory.database.engine.connect() as connection:
        stored = (await connection.execute(sa.select(ServiceToken.__table__))).one()  # type: ignore[attr-defined]
    secret = token.rpartition("_")[2]
    assert secret not in str(stored)
    assert secret not in (await api.get("/service-tokens")).text


async def test_a_token_may_do_what_its_scopes_say(api: Api) -> None:
    token = (await made(api))["token"]
    assert (await asked(api, token)).status_code == 200
    person = {"last_name": "Doe", "first_name": "Ada", "status": "active"}
    put = await api.call("PUT", "/employees/7", person, role=None, headers=bearer(token))
    assert put.status_code == 201, put.text
    refused = await asked(api, token, "/employees")
    assert "`employees:read`" in problem(refused, 403, "forbidden")["detail"], "write is not read"
    refused = await asked(api, token, "/service-tokens")
    assert "`tokens:manage`" in problem(refused, 403, "forbidden")["detail"]


async def test_its_user_id_is_its_own(api: Api) -> None:
    token = (await made(api, scopes=["tasks:write"]))["token"]
    task = {"description": "x", "status": "inactive"}
    answer = await api.call("POST", "/tasks", task, role=None, headers=bearer(token))
    assert answer.json()["created_by"] == "service:erp-sync"
    with pytest.raises(ValueError, match="does not begin with 'service:'"):
        api.token(Role.ADMIN, user="service:erp-sync")


async def test_a_token_sees_its_district_alone(api: Api) -> None:
    body = await made(api)
    there = await api.call("POST", "/service-tokens", BODY, district=THERE)
    assert there.status_code == 201, "the same name in another district"
    problem(await api.get(f"/service-tokens/{body['id']}", district=THERE), 404, "not-found")
    problem(await api.call("DELETE", f"/service-tokens/{body['id']}", district=THERE), 404, "not-found")
    moved = body["token"].replace(f"cst_{HERE}_", f"cst_{THERE}_")
    problem(await asked(api, moved), 401, "unauthorized")
    problem(await asked(api, body["token"].replace(f"cst_{HERE}_", "cst__")), 401, "unauthorized")
    assert (await asked(api, body["token"])).status_code == 200


async def test_a_revoked_token_ends_at_once_and_stays_listed(api: Api) -> None:
    body = await made(api)
    for _ in range(2):
        assert (await api.call("DELETE", f"/service-tokens/{body['id']}")).status_code == 204
    refused = await asked(api, body["token"])
    assert "revoked" in problem(refused, 401, "unauthorized")["detail"]
    (listed,) = (await api.get("/service-tokens")).json()["items"]
    assert (listed["revoked_by"], bool(listed["revoked_at"])) == ("kmarsh", True)
    assert (await made(api))["name"] == BODY["name"], "the name is free again"
    problem(await api.call("POST", "/service-tokens", BODY), 409, "conflict")


async def test_an_expired_token_ends(api: Api) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    token = (await made(api, expires_at=tomorrow))["token"]
    assert (await asked(api, token)).status_code == 200
    with time_machine.travel(datetime.now(UTC) + timedelta(days=1, seconds=1)):
        refused = await asked(api, token)
    assert "expired" in problem(refused, 401, "unauthorized")["detail"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"scopes": []}, ["body", "scopes"]),
        ({"scopes": ["tokens:manage"]}, ["body", "scopes"]),
        ({"scopes": ["deployment:read"]}, ["body", "scopes"]),
        ({"scopes": ["everything"]}, ["body", "scopes", 0]),
        ({"name": ""}, ["body", "name"]),
        ({"name": "a\nb"}, ["body", "name"]),
        ({"name": "x" * 101}, ["body", "name"]),
        ({"expires_at": "2020-01-01T00:00:00Z"}, ["body", "expires_at"]),
        ({"expires_at": "2999-01-01T00:00:00Z"}, ["body", "expires_at"]),
        ({"expires_at": "2999-01-01T00:00:00"}, ["body", "expires_at"]),
        ({"token": "cst_mine"}, ["body", "token"]),
    ],
)
async def test_what_a_token_cannot_have(api: Api, change: dict[str, Any], place: list[Any]) -> None:
    assert places(await api.call("POST", "/service-tokens", {**BODY, **change})) == [place]
    assert (await api.get("/service-tokens")).json()["items"] == []


async def test_a_repeated_request_is_answered_without_the_secret(api: Api) -> None:
    key = {"Idempotency-Key": "one"}
    first = await api.call("POST", "/service-tokens", BODY, headers=key)
    again = await api.call("POST", "/service-tokens", BODY, headers=key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == {**first.json(), "token": None}
    assert first.json()["token"]


async def test_guesses(api: Api) -> None:
    token = (await made(api))["token"]
    prefix, _, secret = token.rpartition("_")
    for guess in (
        f"{prefix}_{secret[:-1]}",
        f"{prefix}_{secret}x",
        f"{prefix}_",
        prefix,
        f"cst_{HERE}_{'0' * 32}_{secret}",
        f"cst_{HERE}_not-an-id_{secret}",
        f"cst_nowhere_{'0' * 32}_{secret}",
        token.replace(token.split("_")[2], token.split("_")[2].upper()),
        token.replace(token.split("_")[2], f"{{{token.split('_')[2]}}}"),
        "cst_",
        "cst____",
    ):
        problem(await asked(api, guess), 401, "unauthorized")


async def test_a_token_of_the_deployment_watches_it_and_nothing_else(api: Api) -> None:
    issued = await api.factory.service_tokens.create(
        None, "cli", "prometheus", [Scope.DEPLOYMENT_READ], datetime.now(UTC) + timedelta(days=30)
    )
    assert issued.token is not None
    assert issued.token.startswith("cst__")
    assert (await asked(api, issued.token, "/metrics")).status_code == 200
    assert "components" in (await asked(api, issued.token, "/health/ready")).json()
    for path in ("/certifications", "/service-tokens", "/runs"):
        problem(await asked(api, issued.token, path), 403, "forbidden")
    caller = await api.factory.authentication.caller(issued.token)
    assert (caller.district, caller.user) == (EVERY_DISTRICT, "service:prometheus")
    assert (await api.get("/service-tokens")).json()["items"] == [], "no district's list has it"
    with pytest.raises(ConflictError, match="'prometheus'"):
        await api.factory.service_tokens.create(None, "cli", "prometheus", [Scope.DEPLOYMENT_READ], None)


async def test_a_scope_that_a_later_release_takes_away_is_ignored(api: Api) -> None:
    body = await made(api)
    table = ServiceToken.__table__  # type: ignore[attr-defined]
    async with api.factory.database.writer.begin() as connection:
        await connection.execute(sa.update(table).values(scopes=["gone:read", "records:read"]))
    caller = await api.factory.authentication.caller(body["token"])
    assert caller.scopes == {Scope.RECORDS_READ} < GRANTABLE
