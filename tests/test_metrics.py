"""What processes count: several on one port together, and a worker at a port of its own."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from app.embedded_redis import EmbeddedRedis, find_server
from app.errors import ConfigurationError
from app.metrics import SHARED_DIRECTORY, RunMetrics, counting_together, exposition
from app.settings import Settings
from app.telemetry import RunTelemetry
from app.tracing import Tracing
from tests.support.openssh import free_port
from tests.support.processes import ROOT, until
from tests.support.runs import running
from workers.metrics import serve_metrics


@contextmanager
def serving(data_dir: Path) -> Iterator[httpx.Client]:
    """`certsync serve` on a port of its own."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", "--port", str(port)],
        cwd=ROOT,
        env=os.environ | {"CERTSYNC_DATA_DIR": str(data_dir)},
        stderr=subprocess.DEVNULL,
    )

    def lives() -> bool:
        assert process.poll() is None
        try:
            return client.get("/health/live").is_success
        except httpx.TransportError:
            return False

    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            until(lives, 60)
            yield client
    finally:
        process.terminate()
        process.wait()


def operators_token(data_dir: Path) -> str:
    command = [sys.executable, "-m", "app.cli", "token", "--user", "prometheus", "--role", "ops"]
    environment = os.environ | {"CERTSYNC_DATA_DIR": str(data_dir)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_processes_that_count_together_show_one_sum(migrated_sqlite: Path, tmp_path: Path) -> None:
    (tmp_path / "certsync.db").write_bytes(migrated_sqlite.read_bytes())
    token = operators_token(tmp_path).splitlines()[-1]
    with counting_together(), ExitStack() as servers:
        shared = Path(os.environ[SHARED_DIRECTORY])
        clients = [servers.enter_context(serving(tmp_path)) for _ in range(2)]
        for client in clients:
            assert client.get("/api/v1/tasks").status_code == 401
        for client in clients:
            shown = client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).text
            assert 'certsync_requests_refused_total{status="401"} 2.0' in shown
            assert 'route="/api/v1/tasks",status="4xx"} 2.0' in shown
            assert shown.count("# TYPE certsync_requests_refused_total counter") == 1
            assert "certsync_queue_depth 0.0" in shown
            assert "certsync_lock_window" not in shown, "that is the workers'"
    assert not shared.exists()
    assert SHARED_DIRECTORY not in os.environ


def test_a_worker_shows_nothing_unless_a_port_is_set() -> None:
    serve_metrics(Settings(), RunMetrics())()


async def test_a_worker_whose_port_is_taken_says_so_and_ends(migrated_sqlite: Path, tmp_path: Path) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "certsync.db")
    redis = EmbeddedRedis(tmp_path / "redis", find_server())
    child = await redis.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        variables = {
            "CERTSYNC_DATA_DIR": str(tmp_path),
            "CERTSYNC_REDIS_URL": redis.url,
            "CERTSYNC_WORKER_METRICS_PORT": str(taken.getsockname()[1]),
        }
        command = [sys.executable, "-m", "app.cli", "worker"]
        worker = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=os.environ | variables, stderr=asyncio.subprocess.PIPE
        )
        _, said = await worker.communicate()
    await child.stop(5)
    assert worker.returncode == 1
    assert "each worker of a machine needs one of its own" in said.decode().splitlines()[-1]


def test_two_workers_of_a_machine_need_two_ports() -> None:
    settings = Settings(worker_metrics_port=free_port())
    metrics = RunMetrics()
    stop = serve_metrics(settings, metrics)
    metrics.began(3)
    shown = httpx.get(f"http://127.0.0.1:{settings.worker_metrics_port}/metrics", trust_env=False).text
    assert "certsync_run_wait_seconds_sum 3.0" in shown
    with pytest.raises(ConfigurationError, match="each worker of a machine needs one of its own"):
        serve_metrics(settings, RunMetrics())
    stop()
    serve_metrics(settings, RunMetrics())()


def test_only_the_first_begin_of_a_run_tells_how_long_it_waited() -> None:
    metrics = RunMetrics()
    telemetry = RunTelemetry(metrics, Tracing())
    due = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
    began = due + timedelta(seconds=40)
    for heartbeat in (began, began + timedelta(minutes=5)):  # the second after a worker put it back
        run = running(scheduled_start=due, actual_start=began, heartbeat_at=heartbeat)
        with telemetry.attempt(run):
            pass
    assert "certsync_run_wait_seconds_count 1.0" in exposition([metrics.registry], "")[0].decode()
