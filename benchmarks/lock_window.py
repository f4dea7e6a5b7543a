"""How long an import keeps writers out, beside the same import with a plain delete-and-insert.

PostgreSQL, with a real Redis. Before each import one record in a hundred is made different,
changed or missing, and so of the endorsements; the same file then puts them right.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import sqlalchemy as sa
from pydantic import SecretStr

from app.constants import DEFAULT_DISTRICT
from app.embedded_redis import EmbeddedRedis, find_server
from app.factory import Factory
from app.import_lock import HeldLock, ImportLock
from app.models import Run
from app.pipeline.difference import Difference
from app.services.runs import RunOptions
from app.settings import Settings
from benchmarks.prepare import licence_file, prepare, settings_of, spread
from benchmarks.results import Results

EVERY = (
    "id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY public_id) AS n FROM {}) AS x WHERE {})"
)
DISTURB = (
    "UPDATE certification SET status = 'UDR' WHERE " + EVERY.format("certification", "n % 150 = 0"),
    "DELETE FROM certification WHERE " + EVERY.format("certification", "n % 300 = 100"),
    "UPDATE endorsement SET limitation = 'disturbed' WHERE " + EVERY.format("endorsement", "n % 150 = 50"),
    "ANALYZE",
)
VACUUM = ("VACUUM ANALYZE certification", "VACUUM ANALYZE endorsement")
DELETE_AND_INSERT = (
    """
    DELETE FROM endorsement USING employee AS e WHERE e.id = employee_id AND e.status = 'active'
    """,
    """
    DELETE FROM certification USING employee AS e WHERE e.id = employee_id AND e.status = 'active'
    """,
    """
    INSERT INTO certification (
        district_id, source, run_id, updated_by, updated_at, version,
        public_id, employee_id, license_number, license_type, status, issue_date, expiration_date
    )
    SELECT
        :district, 'import', :run, :by, :now, :version,
        public_id, employee_id, license_number, license_type, status, issue_date, expiration_date
    FROM wanted_certification
    """,
    """
    INSERT INTO endorsement (
        district_id, source, run_id, updated_by, updated_at, version, certification_id, public_id,
        employee_id, code, description, issue_date, expiration_date, limitation, is_primary
    )
    SELECT
        :district, 'import', :run, :by, :now, :version, c.id, w.public_id,
        w.employee_id, w.code, w.description, w.issue_date, w.expiration_date, w.limitation, w.is_primary
    FROM wanted_endorsement AS w
    JOIN certification AS c ON c.district_id = :district AND c.public_id = w.certification_public_id
    """,
)


def delete_and_insert(
    run: Run, _certifications: Difference, _endorsements: Difference, version: int, now: datetime
) -> list[sa.Executable]:
    """Stand for `app.pipeline.replace.replacement`: all records go and come again."""
    stamp = {"district": run.district_id, "run": run.id, "by": run.run_by, "now": now, "version": version}
    deletes, inserts = DELETE_AND_INSERT[:2], DELETE_AND_INSERT[2:]
    return [*map(sa.text, deletes), *(sa.text(insert).bindparams(**stamp) for insert in inserts)]


class TimedLock(ImportLock):
    """Remembers how long it was held, from taking it to giving it back."""

    seconds: float = 0

    @asynccontextmanager
    async def held(self, *arguments: Any) -> AsyncIterator[HeldLock]:
        """Hold the lock, and time it."""
        began = time.perf_counter()
        async with super().held(*arguments) as lock:
            yield lock
        self.seconds = time.perf_counter() - began


async def window(factory: Factory, lock: TimedLock, file: Path) -> tuple[float, dict[str, Any]]:
    """Import the file; return the seconds in which writers were refused, and the run's summary."""
    run = await factory.runs.start_local(DEFAULT_DISTRICT, "benchmark", "benchmark", RunOptions())
    await factory.execution.execute(run.id, file)
    ended = await factory.runs.get(DEFAULT_DISTRICT, run.id)
    if ended.summary is None:
        raise SystemExit(f"the import failed: {ended.failure_code} {ended.failure_message}")
    return lock.seconds, ended.summary


def execute(url: str, statements: tuple[str, ...]) -> None:
    """Execute statements, each in a transaction of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


async def plain_window(factory: Factory, lock: TimedLock, file: Path) -> float:
    """Return the seconds of the same import when it deletes and inserts everything."""
    with patch("app.pipeline.run.replacement", delete_and_insert):
        seconds, _ = await window(factory, lock, file)
    return seconds


async def measure(settings: Settings, file: Path, repeats: int) -> None:
    """Interleave both and print the table."""
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    factory, lock = Factory(settings), TimedLock(settings)
    factory.execution._lock = lock  # noqa: SLF001 - the production's lock has no need to be timed
    await window(factory, lock, file)
    ours, plain = [], []
    summary: dict[str, Any] = {}
    for repeat in range(repeats):
        execute(url, DISTURB)
        seconds, summary = await window(factory, lock, file)
        ours.append(seconds)
        execute(url, DISTURB)
        plain.append(await plain_window(factory, lock, file))
        execute(url, VACUUM)
        print(f"  {repeat + 1}/{repeats}", file=sys.stderr)
    await lock.close()
    await factory.close()
    names = ("certifications", "endorsements")
    total = sum(summary[f"{name}_imported"] for name in names)
    written = sum(summary[f"{name}_{kind}"] for name in names for kind in ("added", "changed", "removed"))
    print(f"  records {total:,}, written {written:,} ({written / total:.1%})")
    print(f"  window of the import, ms           {spread([1000 * value for value in ours], 1)}")
    print(f"  window of delete-and-insert, ms    {spread([1000 * value for value in plain], 1)}")
    print(f"  ratio                              {statistics.median(plain) / statistics.median(ours):8.1f}")


async def with_redis(settings: Settings, directory: Path, options: argparse.Namespace, file: Path) -> None:
    """Measure beside a Redis of our own."""
    server = EmbeddedRedis(directory / "redis", find_server())
    child = await server.start()
    try:
        await measure(settings.model_copy(update={"redis_url": SecretStr(server.url)}), file, options.repeats)
    finally:
        await child.stop(5)


def run(options: argparse.Namespace, results: Results) -> None:  # noqa: ARG001 - rewritten next
    """Print the table for the size that is asked for."""
    print(f"PostgreSQL, {options.employees:,} employees, {options.rows:,} rows, 1 % of the records changed")
    with tempfile.TemporaryDirectory(prefix="certsync-bench-") as name:
        directory = Path(name)
        world, file = licence_file(options.employees, options.rows, directory)
        with settings_of("postgresql", directory / "postgresql") as settings:
            asyncio.run(prepare(settings, world))
            asyncio.run(with_redis(settings, directory, options, file))
