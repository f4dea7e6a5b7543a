"""Mixed load for a while, and whether memory, connections and open files stay where they were.

PostgreSQL, a real Redis, an OpenSSH server, two API processes on one port, two workers, several districts.
People read, edit, start runs and previews, follow them, and fetch reports, all the time.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
from redis.asyncio import Redis

from app.child_process import start_child
from app.constants import Role
from app.crypto import load_signing_key
from app.factory import Factory
from app.local_address import free_port, health_status
from app.services.tokens import issue_token
from app.settings import Settings
from benchmarks.many_districts import EMPLOYEES, ROWS, add_districts, environment, servers
from benchmarks.prepare import licence_file, prepare, settings_of

DISTRICTS = 6
PEOPLE = 12
"""Users at a time; each asks for the next thing when it has its answer."""
EVERY = 10
"""Seconds between two samples."""
WARM_UP = 60
"""Seconds whose samples do not count: pools fill, and caches."""
START_LIMIT = 60
PROCESSES = 2
"""Of the API, and as many workers."""
SESSIONS = (
    "SELECT count(*), count(*) FILTER (WHERE state = 'idle in transaction') "
    "FROM pg_stat_activity WHERE datname = current_database()"
)
SERVER_ERROR, UNAVAILABLE = 500, 503


class People:
    """Users of all districts, and what they were answered."""

    def __init__(self, http: httpx.AsyncClient, tokens: dict[str, str], tasks: dict[str, str]) -> None:
        self._http = http
        self._tokens = tokens
        self._tasks = tasks
        self.answers: Counter[int] = Counter()

    async def ask(self, district: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request, and count its answer."""
        headers = {"Authorization": f"Bearer {self._tokens[district]}"}
        answer = await self._http.request(method, f"/api/v1{path}", json=body, headers=headers)
        self.answers[answer.status_code] += 1
        return answer

    async def live(self, number: int) -> None:
        """Do one thing after the other, in a district of one's own."""
        district = list(self._tokens)[number % len(self._tokens)]
        task = self._tasks[district]
        for turn in itertools.count():
            page = await self.ask(district, "GET", "/certifications?limit=50&sort=license_number")
            for item in page.json()["items"][:5] if page.is_success else ():
                status = {"status": f"S{turn % 100}"}
                await self.ask(district, "PATCH", f"/certifications/{item['id']}", status)
            await self.ask(district, "GET", "/employees?q=a&limit=100")
            await self.ask(district, "GET", "/runs?status=succeeded&sort=-end")
            kind = "preview" if turn % 3 else "import"
            started = await self.ask(district, "POST", f"/tasks/{task}/run", {"kind": kind})
            if started.is_success:
                await self._follow(district, started.json()["id"])
            await self.ask(district, "GET", "/import-lock")

    async def _follow(self, district: str, run: str) -> None:
        await self.ask(district, "GET", f"/runs/{run}/events")
        for name in ("report.json", "changes.csv", "skipped.csv", "report.pdf"):
            await self.ask(district, "GET", f"/runs/{run}/{name}")


def memory(pid: int) -> tuple[float, int]:
    """Return resident megabytes and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return kib / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def slope(values: list[float]) -> float:
    """Return by how much values grow from one to the next, by least squares."""
    return statistics.linear_regression(range(len(values)), values).slope if len(values) > 1 else 0.0


class Samples:
    """What was seen of processes and servers, one list of values a name."""

    def __init__(self, pids: dict[str, int], settings: Settings, redis_url: str) -> None:
        assert settings.database_url is not None
        self._pids = pids
        self._database = settings.database_url.get_secret_value()
        self._redis = Redis.from_url(redis_url)
        self.values: dict[str, list[float]] = {}

    async def take(self) -> None:
        """Look at everything once."""
        for name, pid in self._pids.items():
            megabytes, files = memory(pid)
            self.values.setdefault(f"{name} MiB", []).append(megabytes)
            self.values.setdefault(f"{name} files", []).append(files)
        async with await psycopg.AsyncConnection.connect(self._database) as connection:
            found = await (await connection.execute(SESSIONS)).fetchone()
        assert found is not None, "a count"
        for name, count in zip(("sessions", "idle in transaction"), found, strict=True):
            self.values.setdefault(f"PostgreSQL {name}", []).append(count)
        clients = (await self._redis.info("clients"))["connected_clients"]
        self.values.setdefault("Redis clients", []).append(clients)

    async def close(self) -> None:
        """Close the connection that looks."""
        await self._redis.aclose()

    def table(self) -> str:
        """Return a row for each value: of the first quarter, of the last, and growth an hour."""
        rows = ["                              first quarter  last quarter      most   growth/hour"]
        for name, values in self.values.items():
            quarter = max(1, len(values) // 4)
            first, last = (statistics.median(part) for part in (values[:quarter], values[-quarter:]))
            growth = slope(values[len(values) // 2 :]) * 3600 / EVERY
            rows.append(f"  {name:<28}{first:>13.1f} {last:>13.1f} {max(values):>9.1f} {growth:>13.1f}")
        return "\n".join(rows)


def children(pid: int) -> list[int]:
    """Return the processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def measure(settings: Settings, options: argparse.Namespace, directory: Path) -> None:
    """Let people work for the time that is asked for, and print what was seen."""
    world, file = licence_file(EMPLOYEES, ROWS, directory)
    await prepare(settings, world)
    async with AsyncExitStack() as stack:
        server, redis = await servers(stack, directory, file)
        factory = Factory(settings)
        names = await add_districts(factory, DISTRICTS, server)
        tasks = {name: await first_task(factory, name) for name in names}
        await factory.close()
        key = load_signing_key(settings)
        tokens = {name: issue_token(key, "soak", Role.ADMIN, name, timedelta(hours=9)) for name in names}
        env, port = environment(settings, redis), free_port("127.0.0.1", 0)
        program = (sys.executable, "-m", "app.cli")
        serve = (*program, "serve", "--port", str(port), "--workers", str(PROCESSES))
        api = await start_child(serve, env=env)
        stack.push_async_callback(api.stop, 20)
        pids = {}
        for number in range(1, PROCESSES + 1):
            worker = await start_child((*program, "worker"), env=env)
            stack.push_async_callback(worker.stop, 30)
            pids[f"worker {number}"] = worker.pid
        async with asyncio.timeout(START_LIMIT):
            while await health_status("127.0.0.1", port) != "ready" or len(children(api.pid)) < PROCESSES:  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.1)
        pids |= {f"API {number}": pid for number, pid in enumerate(children(api.pid), 1)}
        limits = httpx.Limits(max_connections=PEOPLE * 2)
        http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120, limits=limits)
        await stack.enter_async_context(http)
        await work(People(http, tokens, tasks), Samples(pids, settings, redis.url), options.seconds)


async def first_task(factory: Factory, district: str) -> str:
    """Return the id of the district's task."""
    async with factory.database.read() as session:
        found = await (await session.connection()).exec_driver_sql(
            "SELECT id FROM task WHERE district_id = %s", (district,)
        )
    return str(found.scalar_one())


async def work(people: People, samples: Samples, seconds: int) -> None:
    """Let people work, look at everything now and then, and print it."""
    began = time.monotonic()
    lives = [asyncio.create_task(people.live(number)) for number in range(PEOPLE)]
    try:
        while time.monotonic() - began < seconds:
            await asyncio.sleep(EVERY)
            if any(life.done() for life in lives):
                await asyncio.gather(*(life for life in lives if life.done()))
            if time.monotonic() - began > min(WARM_UP, seconds / 4):
                await samples.take()
    finally:
        for life in lives:
            life.cancel()
        await asyncio.wait(lives)
        await samples.close()
    total = sum(people.answers.values())
    print(f"  {total:,} requests, {total / seconds:.0f} a second: {dict(sorted(people.answers.items()))}")
    print(samples.table())
    if any(status >= SERVER_ERROR and status != UNAVAILABLE for status in people.answers):
        raise SystemExit("a request failed")


def run(options: argparse.Namespace) -> None:
    """Print the table for the seconds that are asked for."""
    print(f"PostgreSQL, {DISTRICTS} districts x {EMPLOYEES} employees, {PEOPLE} users, {options.seconds} s")
    with tempfile.TemporaryDirectory(prefix="certsync-bench-") as name:
        directory = Path(name)
        with settings_of("postgresql", directory / "postgresql") as settings:
            asyncio.run(measure(settings, options, directory))
