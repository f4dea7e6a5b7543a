"""How many requests a second the API serves, beside a bare FastAPI that runs the same SQL (`api_bare.py`).

Both are served by uvicorn, in a process of their own, and have a copy of one database; a real Redis counts
requests of ours by token, without refusing any. Reads and edits come over `CONNECTIONS` at a time, bulk
writes one after the other. Each goes to the one, then to the other, again and again.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from pydantic import SecretStr

from app.child_process import ChildProcess, start_child
from app.constants import DEFAULT_DISTRICT, Role
from app.crypto import load_signing_key
from app.embedded_redis import EmbeddedRedis, find_server
from app.local_address import free_port
from app.services.tokens import issue_token
from app.settings import Settings
from benchmarks import api_requests as asked
from benchmarks.http_load import Load, Target, ask, request, send
from benchmarks.import_child import measure_import
from benchmarks.prepare import licence_file, prepare, settings_of
from benchmarks.results import Results

CONNECTIONS = 8
LEAST = 0.7
"""Our requests a second over those of the bare application."""
START_LIMIT = 120
OURS, BARE = "certsync", "bare FastAPI, same SQL"
UNLIMITED = "100000000"


def run(options: argparse.Namespace, results: Results) -> None:
    with tempfile.TemporaryDirectory(prefix="certsync-bench-") as name:
        directory = Path(name)
        world, file = licence_file(options.employees, options.rows, directory)
        for database in options.database:
            with settings_of(database, directory / database) as settings:
                asyncio.run(prepare(settings, world))
                measure_import(settings, file, empty=True)
                asyncio.run(asked.add_runs(settings))
                loads = asyncio.run(measure(settings, options.repeats, options.go))
            report(results, f"{database}, {options.employees:,} employees", loads)
    results.notes += [
        f"{CONNECTIONS} connections; bulk writes one after the other",
        "the bare side sends parameters that were recorded: it validates and makes none of them",
    ]


Loads = dict[tuple[str, str], list[Load]]
"""The goes of each request and side."""


def report(results: Results, case: str, loads: Loads) -> None:
    """Put what was measured into the results."""
    for asked_for in dict.fromkeys(name for name, _ in loads):
        rates = {}
        for who in (OURS, BARE):
            goes = loads[asked_for, who]
            where = f"{case}: {asked_for}"
            rates[who] = results.add(where, who, "requests/s", [load.rate for load in goes])
            results.add(where, f"{who}, p50", "ms", [load.percentile(50) for load in goes])
            results.add(where, f"{who}, p99", "ms", [load.percentile(99) for load in goes])
            processor = [1000 * load.processor / len(load.answers) for load in goes]
            results.add(where, f"{who}, processor time a request", "ms", processor)
        share = rates[OURS].median / rates[BARE].median
        results.at_least(case, f"{asked_for}: requests a second / bare", share, LEAST)


async def measure(settings: Settings, repeats: int, seconds: float) -> Loads:
    """Send every request to both sides in turn, reads and edits for `seconds`; the first goes warm up."""
    loads: Loads = defaultdict(list)
    async with serving(settings, repeats + 1) as (targets, paths):
        for number in range(repeats + 1):
            for name, path in paths.items():
                for who, target in targets.items():
                    requests = _requests(target, name, path, number)
                    load = await send(
                        target,
                        requests,
                        1 if path == asked.BULK_PATH else CONNECTIONS,
                        seconds,
                    )
                    if number:
                        loads[name, who].append(load)
            print(f"  {settings.data_dir.name} {number}/{repeats}", file=sys.stderr)
    return loads


def _requests(target: Target, name: str, path: str, number: int) -> Iterator[bytes]:
    if path == asked.BULK_PATH:
        return iter([request(target, "POST", path, asked.bulk(number))])
    if name == asked.PATCH:
        return (request(target, "PATCH", path, body) for body in asked.changes())
    return repeat(request(target, "GET", path))


@asynccontextmanager
async def serving(settings: Settings, bulks: int) -> AsyncIterator[tuple[dict[str, Target], dict[str, str]]]:
    """Serve both sides; yield them, and the path of each request."""
    token = issue_token(
        load_signing_key(settings), "benchmark", Role.ADMIN, DEFAULT_DISTRICT, timedelta(hours=2)
    )
    bare, recorded = (copy_of(settings, f"{settings.data_dir}-{name}") for name in ("bare", "recorded"))
    port = free_port("127.0.0.1", 0)
    async with AsyncExitStack() as stack:
        redis = EmbeddedRedis(settings.data_dir / "redis", find_server())
        stack.push_async_callback((await redis.start()).stop, 10)
        log = stack.enter_context((settings.data_dir / "api.log").open("wb"))
        serve = (sys.executable, "-m", "app.cli", "serve", "--port", str(port))
        child = await start_child(serve, env=_environment(settings, redis.url), output=log)
        stack.push_async_callback(child.stop, 10)
        ours = Target(port, child.pid, token)
        anybodys = request(ours, "GET", asked.ANY_CERTIFICATION)
        [held] = (await _answered(ours, child, anybodys))["items"]
        employee, certification = held["employee_number"], held["id"]
        plan = {
            "employee": employee,
            "certification": certification,
            "bulks": bulks,
            "token": token,
            "recorded": _plain(recorded) | {"redis_url": redis.url},
        }
        paths = {
            asked.CERTIFICATIONS: asked.certifications_path(employee),
            asked.RUN_PAGE: asked.RUN_PATH,
            asked.PATCH: f"/api/v1/certifications/{certification}",
            asked.BULK_NEW: asked.BULK_PATH,
            asked.BULK_AGAIN: asked.BULK_PATH,
        }
        file = settings.data_dir / "plan.json"
        file.write_text(json.dumps(plan), encoding="utf-8")
        port = free_port("127.0.0.1", 0)
        command = (sys.executable, "-m", "benchmarks.api_bare", str(file), str(port))
        child = await start_child(command, env=_environment(bare, redis.url), output=log)
        stack.push_async_callback(child.stop, 10)
        targets = {OURS: ours, BARE: Target(port, child.pid)}
        await _answered(targets[BARE], child, request(targets[BARE], "GET", paths[asked.CERTIFICATIONS]))
        await _compare(targets, paths)
        yield targets, paths


async def _compare(targets: dict[str, Target], paths: dict[str, str]) -> None:
    """Raise RuntimeError unless both sides answer the reads with the same."""
    for name in (asked.CERTIFICATIONS, asked.RUN_PAGE):
        answers = [await ask(target, request(target, "GET", paths[name])) for target in targets.values()]
        if answers[0] != answers[1]:
            raise RuntimeError(f"{name}: the answers of both sides differ")


async def _answered(target: Target, child: ChildProcess, content: bytes) -> Any:
    """Return the answer once the server is there; raises RuntimeError when it ended, TimeoutError late."""
    async with asyncio.timeout(START_LIMIT):
        while True:
            try:
                return await ask(target, content)
            except OSError:
                if child.process.returncode is not None:
                    raise RuntimeError("a server ended before it answered") from None
                await asyncio.sleep(0.1)


def copy_of(settings: Settings, directory: str) -> Settings:
    """Return the settings of a copy of the database, with which nobody is connected."""
    shutil.copytree(settings.data_dir, directory)
    if settings.database_url is None:
        return Settings(data_dir=Path(directory))
    url = settings.database_url.get_secret_value()
    found = psycopg.conninfo.conninfo_to_dict(url)
    name = f"{found['dbname']}_{directory.rpartition('-')[2]}"
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        query = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(query.format(sql.Identifier(name), sql.Identifier(str(found["dbname"]))))
    copied = url.replace(f"/{found['dbname']}?", f"/{name}?")
    return Settings(data_dir=Path(directory), database_url=SecretStr(copied))


def _plain(settings: Settings) -> dict[str, Any]:
    url = settings.database_url
    plain = {"data_dir": str(settings.data_dir)}
    return plain | ({} if url is None else {"database_url": url.get_secret_value()})


def _environment(settings: Settings, redis_url: str) -> dict[str, str]:
    given = _plain(settings) | {"redis_url": redis_url, "rate_limit_per_minute": UNLIMITED}
    return {f"CERTSYNC_{name.upper()}": value for name, value in given.items()}
