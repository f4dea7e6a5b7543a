"""A PostgreSQL that takes connections and answers nothing: the API refuses in time, and goes on after it."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from app.api.limits import ANSWER_LIMIT
from app.constants import Role
from app.factory import Factory
from app.migrations import upgrade
from app.services.health import CHECK_SECONDS
from app.services.tokens import issue_token
from app.settings import Settings
from tests.support.postgres import PostgresCluster
from tests.support.processes import until
from tests.support.serving import serving

DISTRICT = "d1"
PROCESSES, MOST = 2, 8
PATHS = [f"/api/v1/{noun}" for noun in ("tasks", "runs", "employees", "certifications")]
REQUESTS = PATHS * 6
Timed = tuple[httpx.Response, float]
SLACK = 8.0
"""Seconds that a busy machine may add to a limit."""
BUSY = "SELECT 1 FROM pg_stat_activity WHERE usename = user AND state <> 'idle' AND pid <> pg_backend_pid()"


@pytest.fixture
def cluster() -> Iterator[PostgresCluster]:
    """A server of this test's own: nobody else must hang with it."""
    cluster = PostgresCluster()
    yield cluster
    cluster.stop()


@pytest.fixture
async def instance(cluster: PostgresCluster, redis_url: SecretStr, tmp_path: Path) -> Settings:
    """Settings of an instance with one district."""
    database = SecretStr(cluster.create_database())
    settings = Settings(data_dir=tmp_path, database_url=database, redis_url=redis_url)
    await asyncio.to_thread(upgrade, settings)
    factory = Factory(settings)
    await factory.districts.add(DISTRICT, None, "VT", "UTC")
    await factory.close()
    return settings


async def timed(client: httpx.AsyncClient, path: str) -> Timed:
    """Ask, and return the answer and the seconds until it came."""
    began = time.monotonic()
    answer = await client.get(path)
    return answer, time.monotonic() - began


async def watched(
    client: httpx.AsyncClient, requests: set[asyncio.Task[tuple[httpx.Response, float]]]
) -> None:
    """Ask for the health until all requests are answered; it tells the truth, and in time."""
    while not all(request.done() for request in requests):
        ready, seconds = await timed(client, "/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert seconds < CHECK_SECONDS + SLACK
        live, seconds = await timed(client, "/health/live")
        assert live.status_code == 200
        assert seconds < SLACK


@pytest.mark.timeout(200)
async def test_requests_are_refused_in_time_and_served_again_at_once(
    cluster: PostgresCluster, instance: Settings
) -> None:
    assert instance.database_url
    assert instance.redis_url
    url = instance.database_url.get_secret_value()
    variables = {
        "CERTSYNC_DATABASE_URL": url,
        "CERTSYNC_REDIS_URL": instance.redis_url.get_secret_value(),
        "CERTSYNC_MAX_REQUESTS": str(MOST),
    }
    with serving(instance.data_dir, PROCESSES, **variables) as api:
        token = issue_token(api.key, "kmarsh", Role.ADMIN, DISTRICT, timedelta(hours=1))
        headers = {"Authorization": f"Bearer {token}"}
        address = f"http://127.0.0.1:{api.port}"
        async with httpx.AsyncClient(
            base_url=address, headers=headers, timeout=90, trust_env=False
        ) as client:
            for path in REQUESTS:
                assert (await client.get(path)).status_code == 200
            with cluster.halted():
                requests = {asyncio.create_task(timed(client, path)) for path in REQUESTS}
                await watched(client, requests)
            began = time.monotonic()
            answers = [request.result() for request in requests]
            assert {answer.status_code for answer, _ in answers} == {503}
            assert all(int(answer.headers["retry-after"]) > 0 for answer, _ in answers)
            assert max(seconds for _, seconds in answers) < ANSWER_LIMIT + SLACK
            kinds = [answer.json()["type"].rpartition("/")[2] for answer, _ in answers]
            assert kinds.count("overloaded") >= len(REQUESTS) - PROCESSES * MOST
            assert set(kinds) <= {"overloaded", "took-too-long", "service-unavailable"}

            while (await client.get("/health/ready")).status_code != 200:
                await asyncio.sleep(0.1)
            for path in REQUESTS:
                assert (await client.get(path)).status_code == 200
            assert time.monotonic() - began < SLACK
        with psycopg.connect(url, autocommit=True) as connection:
            until(lambda: connection.execute(BUSY).fetchone() is None, what="nothing is left in PostgreSQL")
