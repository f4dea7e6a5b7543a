"""A night: one task of each of many districts is due in the same minute, and a few workers drain them.

PostgreSQL, a real Redis, one OpenSSH server, workers in processes of their own. Every district has the same
people and file, which is the worst case for none of it: each is fetched, matched and replaced by itself.
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from app.child_process import start_child
from app.constants import DAYS, DEFAULT_DISTRICT, RunStatus
from app.embedded_redis import EmbeddedRedis, find_server
from app.factory import Factory
from app.models import District, Employee, JobClass, Run, Task
from app.models.base import utc_now
from app.settings import Settings
from benchmarks.prepare import licence_file, prepare, settings_of
from tests.support.openssh import OpenSshServer

EMPLOYEES, ROWS = 500, 6_000
"""Of each district: the rows an employee that the other parts have as well."""
LEAD = 20
"""Seconds, at least, in which the workers are up before the tasks are due: on the full minute after them."""
LIMIT = 3600
runs: Any = Run.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
tasks: Any = Task.__table__  # type: ignore[attr-defined] # as above


def copy_of(model: Any, district_id: str) -> sa.Insert:
    """Return the statement that gives a district the rows of the first one."""
    table = model.__table__
    columns = [column for column in table.c if column.name not in ("id", "district_id")]
    rows = sa.select(sa.literal(district_id), *columns).where(table.c.district_id == DEFAULT_DISTRICT)
    return sa.insert(table).from_select(["district_id", *(column.name for column in columns)], rows)


async def add_districts(factory: Factory, count: int, server: OpenSshServer) -> list[str]:
    """Add districts with people, a connection and an active task each."""
    names = [DEFAULT_DISTRICT, *(f"d{number:04}" for number in range(1, count))]
    connection = {
        "host": server.host,
        "port": server.port,
        "username": server.username,
        "private_key": SecretStr(server.private_key),
        "fingerprint": server.fingerprint(),
        "directory": server.directory,
    }
    daily: dict[str, Any] = {
        "description": "nightly",
        "status": "active",
        "recurrence": list(DAYS),
        "timezone": "UTC",
    }
    due = (datetime.now(UTC) + timedelta(hours=12)).time().replace(second=0, microsecond=0)
    daily |= {"scheduled_start_date": datetime.now(UTC).date(), "time": due}
    for name in names:
        async with factory.database.write() as session:
            connection_ = await session.connection()
            if name != DEFAULT_DISTRICT:
                session.add(District(id=name, name=name, timezone="UTC"))
                await session.flush()
                for model in (JobClass, Employee):
                    await connection_.execute(copy_of(model, name))
        await factory.connections.put(name, "benchmark", connection, None)
        await factory.tasks.create(name, "benchmark", daily)
    return names


async def make_due(factory: Factory, at: datetime) -> None:
    """Move every task's next run to one instant."""
    async with factory.database.write() as session:
        connection = await session.connection()
        await connection.execute(sa.update(runs).values(slot=at, scheduled_start=at))
        await connection.execute(sa.update(tasks).values(next_run_at=at, time=at.time()))
    async with factory.database.engine.connect() as connection:
        await connection.execute(sa.text("ANALYZE"))
        await connection.commit()


async def drained(factory: Factory, due: datetime) -> tuple[Sequence[Any], float, float]:
    """Wait until every run has ended and has its PDF; return the runs, and seconds until either."""
    mine = runs.c.slot == due
    imports = 0.0
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        await asyncio.sleep(1)
        async with factory.database.read() as session:
            connection = await session.connection()
            rows = (await connection.execute(sa.select(runs).where(mine))).all()
        if all(row.ended_at for row in rows):
            imports = imports or (max(row.ended_at for row in rows) - due).total_seconds()
            if all(row.report_pdf for row in rows):
                return rows, imports, (utc_now() - due).total_seconds()
    raise SystemExit(f"not drained after {LIMIT} s")


def table(rows: Sequence[Any], imports: float, reports: float) -> str:
    """Return what is printed."""
    waits = [(row.actual_start - row.slot).total_seconds() for row in rows]
    takes = [(row.ended_at - row.actual_start).total_seconds() for row in rows]
    succeeded = sum(row.status == RunStatus.SUCCEEDED for row in rows)
    attempts = sum(row.attempt for row in rows)
    return (
        f"  runs {len(rows):,}, succeeded {succeeded:,}, attempts {attempts:,}\n"
        f"  every import done after {imports:.0f} s ({len(rows) / imports:.1f} a second), "
        f"every PDF after {reports:.0f} s\n"
        f"  wait for the start: median {statistics.median(waits):.1f} s, slowest {max(waits):.1f} s\n"
        f"  an import takes: median {statistics.median(takes):.1f} s, slowest {max(takes):.1f} s"
    )


async def servers(stack: AsyncExitStack, directory: Path, file: Path) -> tuple[OpenSshServer, EmbeddedRedis]:
    """Start an OpenSSH server that has the file, and a Redis; both end with the stack."""
    ssh = OpenSshServer()
    stack.callback(ssh.stop)
    shutil.copy(file, ssh.files)
    (ssh.files / file.name).chmod(0o644)
    redis = EmbeddedRedis(directory / "redis", find_server())
    stack.push_async_callback((await redis.start()).stop, 10)
    return ssh, redis


def environment(settings: Settings, redis: EmbeddedRedis) -> dict[str, str]:
    """Return the variables of API and workers."""
    assert settings.database_url is not None
    return {
        "CERTSYNC_DATA_DIR": str(settings.data_dir),
        "CERTSYNC_DATABASE_URL": settings.database_url.get_secret_value(),
        "CERTSYNC_REDIS_URL": redis.url,
        "CERTSYNC_LOG_LEVEL": "WARNING",
    }


async def measure(settings: Settings, options: argparse.Namespace, directory: Path) -> None:
    """Let the night begin, and print how it went."""
    world, file = licence_file(EMPLOYEES, ROWS, directory)
    await prepare(settings, world)
    async with AsyncExitStack() as stack:
        ssh, redis = await servers(stack, directory, file)
        factory = Factory(settings)
        stack.push_async_callback(factory.close)
        await add_districts(factory, options.districts, ssh)
        due = (utc_now() + timedelta(seconds=LEAD + 60)).replace(second=0, microsecond=0)
        await make_due(factory, due)
        env = environment(settings, redis)
        for _ in range(options.workers):
            worker = await start_child((sys.executable, "-m", "app.cli", "worker"), env=env)
            stack.push_async_callback(worker.stop, 30)
        print(table(*await drained(factory, due)))


def run(options: argparse.Namespace) -> None:
    """Print the table for the number of districts that is asked for."""
    print(
        f"PostgreSQL, {options.districts:,} districts x {EMPLOYEES} employees x {ROWS:,} rows, "
        f"{options.workers} workers"
    )
    with tempfile.TemporaryDirectory(prefix="certsync-bench-") as name:
        directory = Path(name)
        with settings_of("postgresql", directory / "postgresql") as settings:
            asyncio.run(measure(settings, options, directory))
