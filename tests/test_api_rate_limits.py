"""Rate limits of tokens and addresses, on a real Redis, which may be away as well."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app import rate_limits
from app.child_process import ChildProcess
from app.constants import EVERY_DISTRICT, Role
from app.main import create_app
from app.rate_limits import address_key
from app.redis_client import close, redis_client
from app.settings import Settings
from tests.support.api import Api, problem, running_api
from tests.support.processes import signal_all

PER_MINUTE = 3
"""One is granted every 20 s, longer than a test takes."""
GONE = SecretStr("redis://127.0.0.1:1/0")


@pytest.fixture
def limited(settings: Settings, redis_url: SecretStr, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(rate_limits, "ANSWER_LIMIT", 20.0)  # a busy machine is no outage
    return settings.model_copy(update={"rate_limit_per_minute": PER_MINUTE, "redis_url": redis_url})


@pytest.fixture
async def busy(limited: Settings) -> AsyncIterator[Api]:
    async with running_api(limited) as api:
        yield api


def standing(response: httpx.Response) -> tuple[str, int, int]:
    """Return policy, limit and what is left, by the headers of the draft."""
    policy = re.fullmatch(r'"([a-z]+)";q=(\d+);w=60', response.headers["ratelimit-policy"])
    now = re.fullmatch(r'"([a-z]+)";r=(\d+);t=\d+', response.headers["ratelimit"])
    assert policy
    assert now
    assert policy[1] == now[1]
    return policy[1], int(policy[2]), int(now[2])


def refused(response: httpx.Response) -> None:
    problem(response, 429, "rate-limited")
    assert standing(response)[2] == 0
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"


def own(api: Api, role: Role = Role.ADMIN, user: str = "kmarsh") -> dict[str, str]:
    return {"Authorization": f"Bearer {api.token(role, user=user)}"}


def stranger(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer guess{number}"}


async def test_a_token_has_so_many_requests(busy: Api) -> None:
    mine, other = own(busy), own(busy, user="other")
    for left in range(PER_MINUTE - 1, -1, -1):
        response = await busy.get("/tasks", role=None, headers=mine)
        assert response.status_code == 200
        assert standing(response) == ("token", PER_MINUTE, left)
        assert "retry-after" not in response.headers
    refused(await busy.get("/tasks", role=None, headers=mine))
    refused(await busy.call("POST", "/tasks", role=None, headers=mine, content=b"x" * 10_000_000))
    assert (await busy.get("/tasks", role=None, headers=other)).status_code == 200
    for path in ("/health/live", "/health/ready"):
        response = await busy.get(path, role=None)
        assert response.status_code == 200
        assert "ratelimit" not in response.headers


async def test_two_processes_count_together_and_keep_no_token(limited: Settings, busy: Api) -> None:
    mine = own(busy)
    for _ in range(PER_MINUTE):
        assert (await busy.get("/tasks", role=None, headers=mine)).status_code == 200
    app = create_app(limited)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://certsync") as second:
            refused(await second.get("/api/v1/tasks", headers=mine))
    client = redis_client(limited, Redis)
    keys = [key.decode() for key in await client.keys("certsync:limit:*")]
    assert keys
    assert {0 < await client.ttl(key) <= 60 for key in keys} == {True}
    assert not [key for key in keys if mine["Authorization"][-20:] in key]
    await close(client)


async def test_tokens_cannot_be_guessed_at_leisure(busy: Api) -> None:
    known = own(busy)
    assert (await busy.get("/tasks", role=None, headers=known)).status_code == 200
    for number in range(PER_MINUTE):
        response = await busy.get("/tasks", role=None, headers=stranger(number))
        problem(response, 401, "unauthorized")
        assert standing(response) == ("address", PER_MINUTE, PER_MINUTE - 1 - number)
    for path in ("/tasks", "/metrics", "/health/ready"):
        refused(await busy.get(path, role=None, headers=stranger(99)))
    refused(await busy.get("/tasks", role=None, headers=own(busy, user="new")))
    refused(await busy.get("/docs", role=None))
    assert (await busy.get("/tasks", role=None, headers=known)).status_code == 200, "it was good before"
    assert (await busy.get("/health/ready", role=None)).status_code == 200


async def test_strangers_are_counted_whatever_they_are_answered(busy: Api) -> None:
    for number in range(PER_MINUTE):
        headers = stranger(number) | {"Content-Type": "application/json"}
        response = await busy.client.post("/api/v1/tasks", content=b"no JSON", headers=headers)
        assert response.status_code in (400, 401)
    refused(await busy.client.post("/api/v1/tasks", content=b"no JSON", headers=stranger(999)))


def test_a_token_has_one_count_however_it_is_sent() -> None:
    assert rate_limits.token_key("Bearer abc") == rate_limits.token_key("bEARER   abc ")
    assert rate_limits.token_key("Bearer abc") != rate_limits.token_key("Bearer abd")


async def test_what_is_not_there_makes_no_token_good(busy: Api) -> None:
    await busy.get("/nothing", role=None, headers=stranger(99))
    for number in range(PER_MINUTE):
        await busy.get("/tasks", role=None, headers=stranger(number))
    refused(await busy.get("/tasks", role=None, headers=stranger(99)))


@pytest.mark.parametrize("path", ["/metrics", "/health/ready"])
async def test_who_watches_is_not_counted(busy: Api, path: str) -> None:
    watcher = {"Authorization": f"Bearer {busy.token(Role.OPS, EVERY_DISTRICT)}"}
    for _ in range(3 * PER_MINUTE):
        assert (await busy.get(path, role=None, headers=watcher)).status_code == 200


async def test_who_may_not_is_no_stranger(busy: Api) -> None:
    """One program that lacks a scope and goes on trying must not shut out all behind its address."""
    for number in range(2 * PER_MINUTE):
        viewer = own(busy, Role.VIEWER, f"viewer{number}")
        problem(await busy.call("PATCH", "/tasks/x", {}, role=None, headers=viewer), 403, "forbidden")
    assert (await busy.get("/tasks", role=None, headers=own(busy, user="new"))).status_code == 200


async def test_without_redis_nothing_is_limited(settings: Settings, logs: list[Any]) -> None:
    gone = settings.model_copy(update={"rate_limit_per_minute": 1, "redis_url": GONE})
    async with running_api(gone) as api:
        for _ in range(5):
            response = await api.get("/tasks", headers=own(api))
            assert response.status_code == 200
            assert "ratelimit" not in response.headers
    assert [event["event"] for event in logs].count("rate_limits_off") == 1


async def test_a_redis_that_hangs_delays_one_request_and_comes_back(
    busy: Api, redis_process: ChildProcess, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    clock = 1000.0
    monkeypatch.setattr(rate_limits, "monotonic", lambda: clock)
    monkeypatch.setattr(rate_limits, "ANSWER_LIMIT", 0.1)
    asked = 0

    def counted(seconds: float) -> asyncio.Timeout:
        nonlocal asked
        asked += 1
        return asyncio.timeout(seconds)

    monkeypatch.setattr(rate_limits, "timeout", counted)
    mine = own(busy)
    assert redis_process.pid
    signal_all([redis_process.pid], signal.SIGSTOP)
    for _ in range(2 * PER_MINUTE):
        assert (await busy.get("/tasks", role=None, headers=mine)).status_code == 200
    assert asked == 1
    signal_all([redis_process.pid], signal.SIGCONT)
    clock += rate_limits.PAUSE
    assert "ratelimit" in (await busy.get("/tasks", role=None, headers=mine)).headers
    names = [event["event"] for event in logs]
    assert (names.count("rate_limits_off"), names.count("rate_limits_on")) == (1, 1)


async def test_no_limit_in_development(api: Api) -> None:
    assert api.factory.rate_limits is None
    assert "ratelimit" not in (await api.get("/tasks")).headers
    assert Settings(environment="production").rate_limit > Settings().rate_limit == 0
    assert Settings(environment="production", rate_limit_per_minute=0).rate_limit == 0


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", "none"),
        (None, "none"),
        ("x y\r\n", "none"),
    ],
)
def test_an_address_is_a_subscriber(host: str | None, key: str) -> None:
    assert address_key(host) == key


async def test_a_burst_is_counted_exactly(busy: Api) -> None:
    mine = own(busy)
    answers = await asyncio.gather(*(busy.get("/tasks", role=None, headers=mine) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * PER_MINUTE + [429] * (20 - PER_MINUTE)
