"""How long a person's edit takes while imports of the same district go on, beside when none does.

PostgreSQL, a real Redis, the API in a process of its own, imports one after the other in another. Edits come
20 a second, whether or not the ones before have been answered. Refused ones (423) are counted apart.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx

from app.child_process import start_child
from app.constants import DEFAULT_DISTRICT, Role
from app.crypto import load_signing_key
from app.embedded_redis import EmbeddedRedis, find_server
from app.local_address import free_port, health_status
from app.services.tokens import issue_token
from app.settings import Settings
from benchmarks.import_child import measure_import
from benchmarks.prepare import licence_file, prepare, settings_of

RATE = 20
"""Edits a second."""
PEOPLE = 150
"""Certifications that are edited in turn."""
START_LIMIT = 60
OK, LOCKED = 200, 423


class Load:
    """Edits at a fixed rate, and what came of them."""

    def __init__(self, http: httpx.AsyncClient, ids: list[str]) -> None:
        self._http = http
        self._ids = ids
        self.milliseconds: list[float] = []
        self.answers: Counter[int] = Counter()

    async def run(self, seconds: int) -> "Load":
        """Send `RATE * seconds` edits, each at its time."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(RATE * seconds):
                await asyncio.sleep(max(0, began + number / RATE - time.perf_counter()))
                group.create_task(self._edit(number))
        return self

    async def _edit(self, number: int) -> None:
        path = f"/api/v1/certifications/{self._ids[number % len(self._ids)]}"
        began = time.perf_counter()
        response = await self._http.patch(path, json={"status": f"S{number % 1000}"})
        milliseconds = (time.perf_counter() - began) * 1000
        self.answers[response.status_code] += 1
        if response.status_code == OK:
            self.milliseconds.append(milliseconds)

    def percentile(self, percent: int) -> float:
        """Return a percentile of the accepted edits' milliseconds."""
        return statistics.quantiles(self.milliseconds, n=100)[percent - 1]

    def line(self, name: str) -> str:
        """Return a row of the table."""
        others = {status: count for status, count in self.answers.items() if status not in (OK, LOCKED)}
        return (
            f"  {name:<10} {self.answers[OK]:>9} {self.answers[LOCKED]:>8} {sum(others.values()):>7}"
            f" {self.percentile(50):>8.1f} {self.percentile(99):>8.1f}"
        )


@asynccontextmanager
async def serving(settings: Settings, directory: Path) -> AsyncIterator[tuple[dict[str, str], int]]:
    """Run Redis and the API; yield the environment of both and the API's port."""
    assert settings.database_url is not None
    redis = EmbeddedRedis(directory / "redis", find_server())
    children = [await redis.start()]
    port = free_port("127.0.0.1", 0)
    env = {
        "CERTSYNC_DATA_DIR": str(settings.data_dir),
        "CERTSYNC_DATABASE_URL": settings.database_url.get_secret_value(),
        "CERTSYNC_REDIS_URL": redis.url,
        "CERTSYNC_LOG_LEVEL": "WARNING",
        "CERTSYNC_PDF_ROWS": "1",
    }
    command = (sys.executable, "-m", "app.cli", "serve", "--port", str(port))
    try:
        children.append(await start_child(command, env=env))
        async with asyncio.timeout(START_LIMIT):
            while await health_status("127.0.0.1", port) not in ("ready", "degraded"):  # noqa: ASYNC110 - other process
                await asyncio.sleep(0.1)
        yield env, port
    finally:
        for child in reversed(children):
            await child.stop(10)


@asynccontextmanager
async def importing(env: dict[str, str], file: Path) -> AsyncIterator[None]:
    """Import the file again and again meanwhile."""
    command = (sys.executable, "-m", "benchmarks.import_child", f"--file={file}", "--again")
    child = await start_child(command, env=env, output=sys.stderr.buffer)
    ended = asyncio.create_task(child.wait())
    try:
        yield
        if ended.done():
            raise SystemExit(f"the imports ended early, with exit code {ended.result()}")
    finally:
        child.kill()
        await ended


async def measure(settings: Settings, file: Path, directory: Path, seconds: int) -> None:
    """Edit while nothing else goes on, then while imports do; print both."""
    token = issue_token(
        load_signing_key(settings), "benchmark", Role.HR, DEFAULT_DISTRICT, timedelta(hours=1)
    )
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        serving(settings, directory) as (env, port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as http,
    ):
        page = await http.get("/api/v1/certifications", params={"limit": PEOPLE})
        ids = [item["id"] for item in page.json()["items"]]
        await Load(http, ids).run(5)  # the API warms up
        idle = await Load(http, ids).run(seconds)
        async with importing(env, file):
            busy = await Load(http, ids).run(seconds)
    print("             accepted  refused   other   median      p99   (ms)")
    print(idle.line("idle"))
    print(busy.line("importing"))
    print(f"  ratio of p99 {busy.percentile(99) / idle.percentile(99):.1f}")


def run(options: argparse.Namespace) -> None:
    """Print the table for the size that is asked for."""
    print(f"PostgreSQL, {options.employees:,} employees, {options.rows:,} rows, {RATE} edits a second")
    with tempfile.TemporaryDirectory(prefix="certsync-bench-") as name:
        directory = Path(name)
        world, file = licence_file(options.employees, options.rows, directory)
        with settings_of("postgresql", directory / "postgresql") as settings:
            asyncio.run(prepare(settings, world))
            measure_import(settings, file, empty=True)
            asyncio.run(measure(settings, file, directory, options.seconds))
