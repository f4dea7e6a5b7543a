"""Who may call, and how everything that goes wrong is answered."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from app.api.problems import catalogue
from app.constants import Role
from app.errors import AppError
from app.models import JobClass
from app.services.tokens import issue_token
from tests.support.api import HERE, Api, places, problem

NOW = datetime.now(UTC)
CLAIMS: dict[str, Any] = {
    "sub": "kmarsh",
    "district": HERE,
    "role": "admin",
    "iat": NOW,
    "exp": NOW + timedelta(days=2),
    "aud": "certsync",
    "iss": "certsync",
}


async def with_header(api: Api, value: str) -> Any:
    return await api.get("/tasks", role=None, headers={"Authorization": value})


async def test_a_token_that_is_whole_is_taken(api: Api) -> None:
    token = jwt.encode(CLAIMS, api.factory.authentication.signing_key, algorithm="HS256")
    assert (await with_header(api, f"Bearer {token}")).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in CLAIMS),
        {"exp": NOW - timedelta(minutes=1)},
        {"iat": NOW + timedelta(days=1)},
        {"aud": "another"},
        {"iss": "another"},
        {"role": "superuser"},
        {"role": ["admin"]},
        {"district": "nowhere"},
        {"district": 5},
        {"district": "*"},
        {"district": "\ud800"},
        {"district": "a\x00b"},
        {"sub": ""},
        {"sub": 5},
        {"sub": "a\x00b"},
        {"sub": "x" * 201},
    ],
    ids=lambda change: next(iter(change)),  # the same in every process that collects them
)
async def test_claims_that_are_wrong_or_missing(api: Api, change: dict[str, Any]) -> None:
    claims = {name: value for name, value in (CLAIMS | change).items() if value is not None}
    try:
        token = jwt.encode(claims, api.factory.authentication.signing_key, algorithm="HS256")
    except TypeError:  # the library refuses to sign it: it is written by hand then
        token = jwt.api_jws.encode(
            json.dumps(claims, default=lambda at: int(at.timestamp())).encode(),
            api.factory.authentication.signing_key,
            "HS256",
        )
    response = await with_header(api, f"Bearer {token}")
    problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_tokens_that_are_not_ours(api: Api) -> None:
    def part(value: dict[str, Any]) -> str:
        text = json.dumps(value, default=lambda at: int(at.timestamp()))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    unsigned = f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(CLAIMS)}."
    foreign = jwt.encode(CLAIMS, "x" * 64, algorithm="HS256")
    stronger = jwt.encode(CLAIMS, api.factory.authentication.signing_key * 2, algorithm="HS512")
    for value in (
        f"Bearer {unsigned}",
        f"Bearer {foreign}",
        f"Bearer {stronger}",
        "Bearer",
        "Bearer x",
        "Basic a21hcnNoOnNlY3JldA==",
        "",
    ):
        response = await with_header(api, value)
        problem(response, 401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_ops_see_no_personal_data(api: Api) -> None:
    token = issue_token(api.factory.authentication.signing_key, "olga", Role.OPS, "*", timedelta(minutes=5))
    document = (await api.get("/openapi.json", role=None)).json()
    paths = [path for path, item in document["paths"].items() if "get" in item and path.startswith("/api")]
    assert len(paths) > 10
    for path in paths:
        response = await api.client.get(path, headers={"Authorization": f"Bearer {token}"})
        problem(response, 403, "forbidden")
        problem(await api.client.get(path), 401, "unauthorized")


async def test_unknown_paths_and_methods(api: Api) -> None:
    problem(await api.get("/nowhere", role=None), 404, "not-found")
    problem(await api.get("/tasks/", role=None), 404, "not-found")
    for path, allowed in (
        ("/tasks", "GET, POST"),
        ("/sftp-connection", "GET, PUT"),
        ("/employees/1", "DELETE, GET, PUT"),
        ("/employees/bulk", "POST"),
    ):
        response = await api.call("OPTIONS", path, role=None)
        problem(response, 405, "method-not-allowed")
        assert response.headers["Allow"] == allowed
    problem(await api.call("TRACE", "/tasks", role=None), 405, "method-not-allowed")


async def test_every_type_resolves_to_a_page(api: Api) -> None:
    slugs = {each.slug: each for each in catalogue()}
    assert {"internal-error", "not-found", "run-in-progress"} <= slugs.keys()
    for slug, error in slugs.items():
        page = await api.get(f"/problems/{slug}", role=None)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert error.title in page.text
    problem(await api.get("/problems/nothing", role=None), 404, "not-found")


@pytest.mark.parametrize("body", [b"\xff\xfe{}", b"{", b"", b'{"description": "\xe9"}', b"[" * 100_000])
async def test_unreadable_bodies(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = await api.call("POST", "/tasks", headers=headers, content=body)
    if body:
        problem(response, 400, "bad-request")
    else:
        assert places(response) == [["body"]]


async def test_other_media_types_are_not_read(api: Api) -> None:
    body = b'{"description": "x", "status": "inactive"}'
    response = await api.call("POST", "/tasks", headers={"Content-Type": "text/plain"}, content=body)
    assert places(response) == [["body"]]
    assert "Content-Type: application/json" in response.json()["detail"]


@pytest.mark.parametrize("announced", [True, False])
async def test_bodies_that_are_too_large(api: Api, announced: bool) -> None:
    chunk = b" " * 1024**2
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += len(chunk)
            yield chunk

    body: Any = chunk * 17 if announced else chunks()
    headers = {"Content-Type": "application/json"}
    response = await api.call("POST", "/employees/bulk", headers=headers, content=body)
    assert "8 MiB" in problem(response, 413, "payload-too-large")["detail"]
    assert sent <= 18 * 1024**2
    assert (await api.get("/employees")).status_code == 200


def failing(error: Exception) -> Any:
    async def page(*_: object) -> None:
        raise error

    return page


async def test_faults_of_ours_tell_nothing_and_log_no_data(
    api: Api, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.factory.tasks, "page", failing(ValueError("Kathryn Marsh")))
    response = await api.get("/tasks", headers={"X-Request-ID": "trace-1"})
    body = problem(response, 500, "internal-error")
    assert "trace-1" in body["detail"]
    assert response.headers["X-Request-ID"] == "trace-1"
    assert "Marsh" not in response.text
    (event,) = [event for event in logs if event["event"] == "request_failed"]
    assert "test_api_errors.py" in event["trace"]
    assert "Kathryn" not in str(logs)


async def test_a_database_that_is_gone_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        api.factory.tasks, "page", failing(OperationalError("SELECT", {}, OSError("refused")))
    )
    response = await api.get("/tasks")
    problem(response, 503, "service-unavailable")
    assert response.headers["Retry-After"] == "5"


async def test_a_rule_of_the_database_that_was_broken_is_a_conflict(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is written past the service's checks, as by a request that lost a race."""
    await api.call("PUT", "/job-classes/TEACHER", {})
    with pytest.raises(IntegrityError) as caught:
        await api.add(JobClass(district_id=HERE, code="TEACHER", version=1))
    monkeypatch.setattr(api.factory.tasks, "page", failing(caught.value))
    assert "same moment" in problem(await api.get("/tasks"), 409, "conflict")["detail"]


async def test_the_log_has_the_route_and_no_name(api: Api, logs: list[Any]) -> None:
    await api.get("/employees/Kathryn", params={"x": "Marsh"}, headers={"X-Request-ID": "bad id\t"})
    (event,) = [event for event in logs if event["event"] == "request"]
    assert (event["route"], event["status"], event["method"]) == (
        "/api/v1/employees/{employee_number}",
        404,
        "GET",
    )
    assert "Kathryn" not in str(logs)
    assert "Marsh" not in str(logs)


def test_slugs_are_unique() -> None:
    slugs = [each.slug for each in catalogue(AppError)]
    assert len(slugs) == len(set(slugs))
