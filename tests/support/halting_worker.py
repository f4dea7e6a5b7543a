"""A real worker that halts where it is told to, so that a test can strike it there.

`python -m tests.support.halting_worker NAME`; settings come from the environment. It waits for the file
`NAME.open` before it works. A file `DISTRICT.at` names the point where the next run of the district halts;
it becomes `DISTRICT.halted`, and the run goes on once there is a `DISTRICT.go`. `DISTRICT.dies` names a
point where every run of the district takes its worker down; a new one follows. All lie in
`DATA_DIR/halts`. `HASTE` makes the limits short and is STALE in seconds.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any

import workers.settings
from app.cli.common import load_settings
from tests.support.haste import hurry
from tests.support.imports import empty_pdf

OUTSIDE = ("fetch", "parse", "match")
"""Points before the replace."""
INSIDE = ("guard", "writes", "commit")
"""Points with the replace's transaction open: nothing written yet, half of it, all of it."""
ENDED = ("committed", "pdf")
"""Points after the commit."""
BEFORE_COMMIT = (*OUTSIDE, *INSIDE)
POINTS = (*BEFORE_COMMIT, *ENDED)

HALTS = Path(os.environ.get("CERTSYNC_DATA_DIR", "var")) / "halts"
POLL = 0.02
district: ContextVar[str] = ContextVar("district")
Step = Callable[..., Awaitable[Any]]


async def halt(point: str) -> None:
    name = district.get("")
    dies, at, go = (HALTS / f"{name}.{what}" for what in ("dies", "at", "go"))
    if dies.exists() and dies.read_text() == point:
        os.kill(os.getpid(), signal.SIGKILL)
    if at.exists() and at.read_text() == point:
        at.rename(HALTS / f"{name}.halted")
        while not go.exists():
            await asyncio.sleep(POLL)


def before(point: str, step: Step) -> Step:
    async def halting(*arguments: Any, **options: Any) -> Any:
        await halt(point)
        return await step(*arguments, **options)

    return halting


def after(point: str, step: Step) -> Step:
    async def halting(*arguments: Any, **options: Any) -> Any:
        result = await step(*arguments, **options)
        await halt(point)
        return result

    return halting


def halfway(point: str, execute_all: Step) -> Step:
    async def halting(connection: Any, statements: list[Any]) -> None:
        half = len(statements) // 2
        await execute_all(connection, statements[:half])
        await halt(point)
        await execute_all(connection, statements[half:])

    return halting


def arrange() -> None:
    """Put the points in; the PDF is an empty one, since rendering takes a second each."""
    modules: Iterator[Any] = (
        import_module(f"app.{name}")
        for name in (
            "storage.sftp",
            "pipeline.plan",
            "pipeline.run",
            "import_lock",
            "services.run_execution",
            "services.run_reporting",
        )
    )
    sftp, plan, run, lock, execution, reporting = modules
    begin = execution.RunExecution._import

    async def importing(self: Any, claimed: Any, local_path: Path | None) -> None:
        district.set(claimed.district_id)
        await begin(self, claimed, local_path)

    execution.RunExecution._import = importing
    sftp.SftpSession.receive = before("fetch", sftp.SftpSession.receive)
    plan.stage = after("parse", plan.stage)
    plan.find_near_misses = after("match", plan.find_near_misses)
    run.execute_all = before("guard", halfway("writes", run.execute_all))
    lock.HeldLock.is_anothers = after("commit", lock.HeldLock.is_anothers)
    report = before("committed", reporting.RunReporting._make)

    async def making(self: Any, ended: Any) -> None:
        district.set(ended.district_id)
        await report(self, ended)

    reporting.RunReporting._make = making
    reporting.render_pdf = before("pdf", empty_pdf)


def work() -> None:
    asyncio.run(workers.settings.run_worker(load_settings()))


def work_again_after_each_death() -> None:
    while (child := os.fork()) != 0:
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            return
    work()


if __name__ == "__main__":
    arrange()
    if os.environ.get("HASTE"):
        hurry(setattr, float(os.environ["HASTE"]))
    while not (HALTS / f"{sys.argv[1]}.open").exists():
        time.sleep(POLL)
    work_again_after_each_death() if list(HALTS.glob("*.dies")) else work()
