"""Health and the OpenAPI document."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.constants import Role
from app.database import Database
from app.main import create_app
from app.models.base import utc_now
from app.services import health, metrics
from app.settings import Settings
from tests.support.api import Api, problem, running_api
from tests.support.faulty_proxy import PostgresProxy
from tests.support.runs import waiting_run


async def test_live(api: Api) -> None:
    assert (await api.get("/health/live", role=None)).json() == {"status": "live"}


async def test_degraded_without_redis_and_details_only_with_a_token(api: Api) -> None:
    response = await api.get("/health/ready", role=None)
    assert (response.status_code, response.json()) == (200, {"status": "degraded"})
    bad = await api.get("/health/ready", role=None, headers={"Authorization": "Bearer x"})
    assert bad.json() == {"status": "degraded"}
    body = (await api.get("/health/ready", role=Role.OPS, district="*")).json()
    assert [(part["name"], part["status"]) for part in body["components"]] == [
        ("database", "up"),
        ("schema", "up"),
        ("redis", "down"),
        ("worker", "down"),
        ("storage", "up"),
        ("queue", "up"),
    ]
    assert "Redis" in body["components"][2]["detail"]


async def test_the_queue_tells_how_long_the_oldest_run_has_waited(api: Api) -> None:
    ago = timedelta(seconds=90)
    await api.add(waiting_run(scheduled_start=utc_now() - ago), waiting_run(scheduled_start=utc_now() + ago))
    body = (await api.get("/health/ready", role=Role.OPS, district="*")).json()
    assert re.fullmatch("1 due, the oldest since 9[0-9] s", body["components"][5]["detail"])


async def test_probes_that_come_together_are_one_look(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    ping = api.factory.queue.ping

    async def counted() -> None:
        nonlocal looks
        looks += 1
        await ping()

    monkeypatch.setattr(api.factory.queue, "ping", counted)
    answers = await asyncio.gather(*(api.get("/health/ready", role=None) for _ in range(5)))
    assert {answer.json()["status"] for answer in answers} == {"degraded"}
    assert looks == 1
    await api.get("/health/ready", role=None)
    assert looks == 2


async def test_a_part_that_hangs_delays_the_answer_by_its_limit_only(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(api.factory.queue, "ping", forever)
    async with asyncio.timeout(20):
        body = (await api.get("/health/ready", role=Role.OPS, district="*")).json()
    assert body["components"][2] == {"name": "redis", "status": "down", "detail": "no answer within 0.2 s"}


@pytest.mark.parametrize(("workers", "status"), [(0, "degraded"), (1, "ready")])
async def test_workers_count(api: Api, monkeypatch: pytest.MonkeyPatch, workers: int, status: str) -> None:
    async def live_workers() -> int:
        return workers

    async def ping() -> None:
        return None

    monkeypatch.setattr(api.factory.queue, "live_workers", live_workers)
    monkeypatch.setattr(api.factory.queue, "ping", ping)
    response = await api.get("/health/ready", role=None)
    assert (response.status_code, response.json()) == (200, {"status": status})
    shown = (await api.get("/health/ready", role=Role.OPS, district="*")).json()["components"][3]
    assert shown["detail"] == ("1 running" if workers else "none is running; start `certsync worker`")


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)  # only it has a limit of connections
async def test_it_is_told_that_the_database_is_well_when_requests_have_all_its_connections(api: Api) -> None:
    pool: Any = api.factory.database.engine.pool
    async with AsyncExitStack() as stack:
        for _ in range(pool.size() + pool._max_overflow):
            await stack.enter_async_context(api.factory.database.engine.connect())
        response = await api.get("/health/ready", role=None)
        assert (response.status_code, response.json()["status"]) == (200, "degraded")
        scraped = await api.get("/metrics", role=Role.OPS, district="*")
        assert "certsync_figures_readable 1.0" in scraped.text


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)  # SQLite is no network away
async def test_a_network_that_swallows_everything_is_told_of_in_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelling a query over such a network takes much longer than the limit."""
    assert settings.database_url is not None
    monkeypatch.setattr(health, "CHECK_SECONDS", 1)
    monkeypatch.setattr(metrics, "LIMIT", 1)
    async with PostgresProxy(settings.database_url.get_secret_value()) as proxy:
        beyond = settings.model_copy(update={"database_url": SecretStr(proxy.url)})
        async with running_api(beyond) as api:
            assert (await api.get("/health/ready", role=None)).status_code == 200
            proxy.stall()
            async with asyncio.timeout(9):  # 2 s, and 10 more for each that waits for its cancellation
                assert (await api.get("/health/ready", role=None)).status_code == 503
                scraped = await api.get("/metrics", role=Role.OPS, district="*")
                assert "certsync_figures_readable 0.0" in scraped.text
            proxy.resume()


async def test_unavailable_with_an_old_schema(api: Api) -> None:
    async with api.factory.database.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM alembic_version")
    response = await api.get("/health/ready", role=Role.VIEWER)
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert "certsync migrate" in response.json()["components"][1]["detail"]


async def test_unavailable_without_a_database(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Database(Settings(database_url=SecretStr("postgresql://certsync:hush@127.0.0.1:1/certsync")))
    for database in (api.factory.watching, api.factory.database):
        monkeypatch.setattr(database, "engine", nowhere.engine)
    response = await api.get("/health/ready", role=None)
    assert (response.status_code, response.json()) == (503, {"status": "unavailable"})
    response = await api.get("/health/ready", role=Role.OPS, district="*")
    assert response.json()["components"][0]["status"] == "down"
    assert "hush" not in response.text
    problem(await api.get("/tasks"), 503, "service-unavailable")


def document(tmp_path: Path) -> dict[str, Any]:
    return create_app(Settings(data_dir=tmp_path)).openapi()


def test_openapi_is_stable_and_needs_no_start(tmp_path: Path) -> None:
    first = json.dumps(document(tmp_path))
    assert first == json.dumps(document(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert json.loads(first)["openapi"].startswith("3.1")
    assert "servers" not in json.loads(first)
    assert "HTTPValidationError" not in first


def test_openapi_documents_every_operation(tmp_path: Path) -> None:
    described = document(tmp_path)
    tags = {tag["name"] for tag in described["tags"]}
    names = []
    for path, item in described["paths"].items():
        for method, operation in item.items():
            names.append(operation["operationId"])
            assert operation["summary"], path
            assert operation["description"], path
            assert set(operation["tags"]) <= tags, path
            for status, response in operation["responses"].items():
                if int(status) >= 400 and not path.startswith("/health"):
                    shared = described["components"]["responses"]
                    whole = shared[response["$ref"].rpartition("/")[2]] if "$ref" in response else response
                    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
                    assert whole["content"] == {"application/problem+json": reference}
            if path.startswith("/api"):
                (scope,) = operation["security"][0]["bearer"]
                assert f"`{scope}`" in operation["description"], path
                assert {"401", "403", "503"} <= operation["responses"].keys()
            if path.endswith("_id}") and method == "get" and "runs" not in path and "token" not in path:
                assert "ETag" in operation["responses"]["200"]["headers"], path
            if "requestBody" in operation:
                assert {"400", "413", "422"} <= operation["responses"].keys()
            if (method == "delete" and "token" not in path) or "If-Match" in str(operation.get("parameters")):
                assert "412" in operation["responses"], path
    assert len(names) == len(set(names))
