"""A whole deployment: PostgreSQL, Redis, OpenSSH, API and worker processes, with a proxy on every way."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr

from app import migrations
from app.child_process import ChildProcess
from app.constants import EVERY_DISTRICT, Role
from app.embedded_redis import EmbeddedRedis, find_server
from app.factory import Factory
from app.services.tokens import issue_token
from app.settings import Settings
from tests.chaos.districts import ChaosDistrict
from tests.chaos.processes import ManagedProcess
from tests.support.faulty_proxy import FaultyProxy, PostgresProxy
from tests.support.openssh import OpenSshServer, free_port
from tests.support.postgres import PostgresCluster
from tests.support.processes import until_async

APIS, WORKERS = 2, 3
TRANSFER_LIMIT = 12
"""Seconds that a download may take."""
PDF_LIMIT = 60
DISK = "24m"
"""Of the small disk for downloads."""
DAY = timedelta(days=1)
POLL = 0.1
READY_LIMIT = 120
KEEP_ALIVE = 2
"""Seconds; the server ends an idle connection after 5, and a request may just be on its way to it."""


@dataclass
class Deployment:
    """Everything that can be struck, and what is asked of it directly."""

    directory: Path
    settings: Settings
    cluster: PostgresCluster
    database: str
    redis: EmbeddedRedis
    redis_server: ChildProcess
    ssh: OpenSshServer
    stack: AsyncExitStack
    to_redis: FaultyProxy
    factory: Factory
    small_disk: str = ""
    districts: list[ChaosDistrict] = field(default_factory=list)
    to_state: dict[str, FaultyProxy] = field(default_factory=dict)
    apis: list[ManagedProcess] = field(default_factory=list)
    workers: list[ManagedProcess] = field(default_factory=list)
    to_database: dict[str, PostgresProxy] = field(default_factory=dict)
    clients: list[httpx.AsyncClient] = field(default_factory=list)
    ops_token: str = ""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[psycopg.AsyncConnection[dict[str, Any]]]:
        """Yield a connection past all proxies, without a transaction; raises OperationalError."""
        connection = await psycopg.AsyncConnection.connect(
            self.database, autocommit=True, row_factory=dict_row
        )
        async with connection:
            yield connection

    async def query(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """Return what a query finds, past all proxies."""
        async with self.connected() as connection:
            return await (await connection.execute(sql, arguments)).fetchall()

    async def unfinished(self, district: str | None = None) -> list[dict[str, Any]]:
        """Return the runs, of all districts or of one, that are not over."""
        found = await self.query("SELECT * FROM run WHERE status IN ('waiting', 'in_progress')")
        return [run for run in found if district in (None, run["district_id"])]

    async def ready(self, client: httpx.AsyncClient) -> str:
        """Return what an API process says of itself, an empty text if it does not answer."""
        try:
            answer = await client.get("/health/ready")
        except httpx.TransportError:
            return ""
        return str(answer.json()["status"])

    async def until_ready(self, limit: float = READY_LIMIT) -> float:
        """Wait until both API processes are ready; return how many seconds that took."""

        async def are_ready() -> bool:
            return all([await self.ready(client) == "ready" for client in self.clients])

        began = time.monotonic()
        await until_async(are_ready, limit, every=POLL)
        return time.monotonic() - began

    def worker_of(self, run_id: object) -> ManagedProcess:
        """The worker that began a run last."""
        began = [
            (event["timestamp"], worker.name, worker)
            for worker in self.workers
            for event in worker.events()
            if event.get("event") == "run_started" and event.get("run_id") == str(run_id)
        ]
        return max(began)[2]

    async def restart_redis(self) -> None:
        """Start a Redis that was killed; it reads what it had written."""
        self.redis_server = await self.redis.start()

    async def add_district(self, name: str, size: int, strangers: int) -> ChaosDistrict:
        """Add a district with employees, a connection through a proxy of its own, and a task."""
        remote = self.ssh.files / name
        remote.mkdir(mode=0o755)
        district = ChaosDistrict(name, size, strangers, self.directory / "files", remote)
        proxy = await self.stack.enter_async_context(FaultyProxy(self.ssh.port))
        factory = self.factory
        await factory.districts.add(name, None, "VT", "UTC")
        await factory.employees.put_all(name, district.people)
        connection = {
            "host": "127.0.0.1",
            "port": proxy.port,
            "username": self.ssh.username,
            "private_key": SecretStr(self.ssh.private_key),
            "fingerprint": self.ssh.fingerprint(),
            "directory": str(remote),
        }
        await factory.connections.put(name, "chaos", connection, None)
        for user, role in (("writer", Role.HR), ("starter", Role.ADMIN)):
            district.tokens[user] = issue_token(factory.authentication.signing_key, user, role, name, DAY)
        self.to_state[name] = proxy
        self.districts.append(district)
        return district

    async def start_processes(self, variables: dict[str, str]) -> None:
        """Start the API and worker processes, and wait until all is ready."""
        common = {
            "CERTSYNC_DATA_DIR": str(self.settings.data_dir),
            "CERTSYNC_DATABASE_URL": self.database,
            "CERTSYNC_REDIS_URL": f"redis://127.0.0.1:{self.to_redis.port}/0",
            "CERTSYNC_LOG_FORMAT": "json",
            "CERTSYNC_SFTP_TRANSFER_TIMEOUT": str(TRANSFER_LIMIT),
            "CERTSYNC_PDF_TIMEOUT": str(PDF_LIMIT),
            "CERTSYNC_PDF_ROWS": "1",
            **variables,
        }
        self.ops_token = issue_token(
            self.factory.authentication.signing_key, "prober", Role.OPS, EVERY_DISTRICT, DAY
        )
        for number in range(APIS):
            port = free_port()
            await self._manage(self.apis, f"api-{number}", ("serve", "--port", str(port)), common)
            client = httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                timeout=60,
                trust_env=False,
                limits=httpx.Limits(max_connections=200, keepalive_expiry=KEEP_ALIVE),
            )
            self.clients.append(await self.stack.enter_async_context(client))
        for number in range(WORKERS):
            name = f"worker-{number}"
            proxy = await self.stack.enter_async_context(PostgresProxy(self.database))
            self.to_database[name] = proxy
            url = f"{proxy.url}?application_name={name}"
            await self._manage(self.workers, name, ("worker",), common | {"CERTSYNC_DATABASE_URL": url})
        await self.until_ready()

        async def all_live() -> bool:
            return await self.factory.queue.live_workers() >= WORKERS

        await until_async(all_live, READY_LIMIT, every=POLL)
        for district in self.districts:
            body = {"description": "Licences", "status": "inactive"}
            headers = {"Authorization": f"Bearer {district.tokens['starter']}"}
            answer = await self.clients[0].post("/api/v1/tasks", json=body, headers=headers)
            assert answer.status_code == 201, answer.text
            district.task_id = answer.json()["id"]

    async def _manage(
        self, managed: list[ManagedProcess], name: str, arguments: tuple[str, ...], env: dict[str, str]
    ) -> None:
        process = ManagedProcess(name, arguments, env, self.directory / f"{name}.log")
        managed.append(process)
        self.stack.push_async_callback(process.stop)
        await process.start()


def mount_small_disk(path: Path) -> str:
    """Mount a small disk of its own at `path`; return why that cannot be, or an empty text."""
    if os.geteuid() != 0:
        return "needs root"
    path.mkdir(mode=0o700)
    command = ("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "certsync-chaos", str(path))
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if mounted.returncode == 0 else "tmpfs cannot be mounted here"


def unmount(path: Path) -> None:
    """Give the small disk up; a process that dies may hold it for a moment."""
    subprocess.run(("umount", "--lazy", str(path)), check=True)


@asynccontextmanager
async def deployed(
    directory: Path, districts: int, size: int, strangers: int, **variables: str
) -> AsyncIterator[Deployment]:
    """Yield a deployment that is ready, with districts that hold nothing yet."""
    async with AsyncExitStack() as stack:
        # fsync and synchronous commits: what PostgreSQL has confirmed must outlive its crash.
        cluster = PostgresCluster(fsync=True)
        stack.callback(cluster.stop)
        database = cluster.create_database()
        redis = EmbeddedRedis(directory / "redis", find_server())
        to_redis = await stack.enter_async_context(FaultyProxy(redis.socket))
        data_dir = directory / "data"
        settings = Settings(
            data_dir=data_dir,
            database_url=SecretStr(database),
            redis_url=SecretStr(f"unix://{redis.socket}"),
        )
        await asyncio.to_thread(migrations.upgrade, settings)
        factory = Factory(settings)
        stack.push_async_callback(factory.close)
        small_disk = mount_small_disk(data_dir / "downloads")
        if not small_disk:
            stack.callback(unmount, data_dir / "downloads")
        ssh = OpenSshServer()
        stack.callback(ssh.stop)
        made = Deployment(
            directory, settings, cluster, database, redis, await redis.start(), ssh, stack, to_redis, factory
        )
        made.small_disk = small_disk
        stack.push_async_callback(lambda: made.redis_server.stop(10))
        for number in range(districts):
            await made.add_district(f"d{number}", size, strangers)
        await made.start_processes(variables)
        yield made
