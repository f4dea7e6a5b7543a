"""Health and the OpenAPI document."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.constants import Role
from app.database import Database
from app.main import create_app
from app.settings import Settings
from tests.support.api import Api, problem


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
        ("redis", "down"),
        ("worker", "down"),
        ("storage", "up"),
    ]
    assert "Redis" in body["components"][1]["detail"]


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


async def test_unavailable_with_an_old_schema(api: Api) -> None:
    async with api.factory.database.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM alembic_version")
    response = await api.get("/health/ready", role=Role.VIEWER)
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert "certsync migrate" in response.json()["components"][0]["detail"]


async def test_unavailable_without_a_database(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Database(Settings(database_url=SecretStr("postgresql://certsync:hush@127.0.0.1:1/certsync")))
    monkeypatch.setattr(api.factory.database, "engine", nowhere.engine)
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
                    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
                    assert response["content"] == {"application/problem+json": reference}
            if path.startswith("/api"):
                assert operation["security"] == [{"bearer": []}], path
                assert {"401", "403", "503"} <= operation["responses"].keys()
            if path.endswith("_id}") and method == "get" and "runs" not in path:
                assert "ETag" in operation["responses"]["200"]["headers"], path
            if "requestBody" in operation:
                assert {"400", "413", "422"} <= operation["responses"].keys()
            if method == "delete" or "If-Match" in str(operation.get("parameters")):
                assert "412" in operation["responses"], path
    assert len(names) == len(set(names))
