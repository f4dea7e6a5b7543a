"""How a run is caught in a phase, from outside: what it needs next is held for a moment.

Nothing of the worker is changed. What holds it is what may happen in production as well: a silent server of
the state, a lock on a table, somebody's open edit, a lock on the run's row.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from app.database import GUARD
from tests.chaos.deployment import Deployment
from tests.chaos.districts import ChaosDistrict
from tests.chaos.processes import ManagedProcess

POLL = 0.005
LIMIT = 60
HALF_WAY = 30_000
"""Bytes that a download gets before it is held: more than the login takes, fewer than the file."""
PHASES = ("fetch", "parse", "match", "guard", "replace", "report")
"""Those of a run; `guard` is the replace that waits for its guard, `replace` the one that has it."""

Connection = psycopg.AsyncConnection[dict[str, Any]]
GUARD_KEY = GUARD.replace(":district", "%s")
GUARDS = f"""
    SELECT application_name AS worker FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'
    AND (classid::bigint << 32 | objid::bigint) = {GUARD_KEY}
"""
"""The worker whose replace has the guard of a district, or waits for it."""


@dataclass
class Caught:
    """A run in the phase that was asked for, and the worker that is at it."""

    district: ChaosDistrict
    run_id: str
    worker: ManagedProcess


Start = Callable[[], Awaitable[str]]
"""Starts a run of the district and returns its id."""


@asynccontextmanager
async def caught(
    deployment: Deployment, district: ChaosDistrict, phase: str, start: Start
) -> AsyncIterator[Caught]:
    """Hold a run in a phase while the body runs; what was held is let go after it."""
    proxy = deployment.to_state[district.name]
    async with AsyncExitStack() as stack:
        stack.callback(proxy.resume)
        proxy.stall_after(HALF_WAY)
        run_id = await start()
        async with asyncio.timeout(LIMIT):
            await proxy.reached.wait()
            name = await HOLDS[phase](deployment, stack, district, run_id) if phase in HOLDS else ""
        worker = next((one for one in deployment.workers if one.name == name), None)
        yield Caught(district, run_id, worker or deployment.worker_of(run_id))


async def until(deployment: Deployment, sql: str, *arguments: object) -> dict[str, Any]:
    """Wait until a query finds something."""
    async with deployment.connected() as connection:
        while (found := await (await connection.execute(sql, arguments)).fetchone()) is None:
            await asyncio.sleep(POLL)
        return found


async def held(deployment: Deployment, stack: AsyncExitStack, sql: str, *arguments: object) -> None:
    """Execute a locking statement in a transaction that stays open until the stack ends."""
    connection: Connection = await stack.enter_async_context(deployment.connected())
    await connection.set_autocommit(False)
    await connection.execute(sql, arguments)
    stack.push_async_callback(connection.close)  # a rollback would wait for a server that hangs


async def in_parse(deployment: Deployment, stack: AsyncExitStack, district: ChaosDistrict, run: str) -> str:
    """It writes what it finds, and first forgets what an earlier attempt found."""
    await held(deployment, stack, "LOCK TABLE run_finding IN EXCLUSIVE MODE")
    return await in_phase(deployment, district, run, "parse")


async def in_match(deployment: Deployment, stack: AsyncExitStack, district: ChaosDistrict, run: str) -> str:
    """It asks which jobs need a licence."""
    await held(deployment, stack, "LOCK TABLE job_class IN ACCESS EXCLUSIVE MODE")
    return await in_phase(deployment, district, run, "match")


async def at_guard(deployment: Deployment, stack: AsyncExitStack, district: ChaosDistrict, run: str) -> str:
    """It waits for a writer who is in."""
    await held(deployment, stack, f"SELECT pg_advisory_xact_lock_shared({GUARD_KEY})", district.name)
    await in_phase(deployment, district, run, "replace")
    found = await until(deployment, f"{GUARDS} AND NOT granted", district.name)
    return str(found["worker"])


async def in_replace(deployment: Deployment, stack: AsyncExitStack, district: ChaosDistrict, run: str) -> str:
    """It has written everything but its end, in a transaction that has the guard."""
    async with AsyncExitStack() as guard:
        await at_guard(deployment, guard, district, run)
        await held(deployment, stack, "SELECT 1 FROM run WHERE id = %s FOR UPDATE", run)
    ending = f"{GUARDS} AND granted AND wait_event_type = 'Lock' AND query LIKE 'UPDATE run SET%%'"
    found = await until(deployment, ending, district.name)
    return str(found["worker"])


async def in_report(deployment: Deployment, stack: AsyncExitStack, district: ChaosDistrict, run: str) -> str:
    """It reads what is to be printed; any report will do, and this run's is one of them."""
    deployment.to_state[district.name].resume()
    await until(deployment, "SELECT 1 FROM run WHERE id = %s AND phase = 'report'", run)
    await held(deployment, stack, "LOCK TABLE run_finding IN ACCESS EXCLUSIVE MODE")
    reading = """
        SELECT application_name AS worker FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT%%run_finding%%' AND application_name <> ''
    """
    found = await until(deployment, reading)
    return str(found["worker"])


async def in_phase(deployment: Deployment, district: ChaosDistrict, run: str, phase: str) -> str:
    """Let the download go on, and wait until the run's row shows the phase."""
    deployment.to_state[district.name].resume()
    await until(deployment, "SELECT 1 FROM run WHERE id = %s AND phase = %s", run, phase)
    return ""


HOLDS: dict[str, Callable[[Deployment, AsyncExitStack, ChaosDistrict, str], Awaitable[str]]] = {
    "parse": in_parse,
    "match": in_match,
    "guard": at_guard,
    "replace": in_replace,
    "report": in_report,
}
