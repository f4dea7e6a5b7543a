"""A process that executes a run and kills itself at a chosen point, as a power cut would.

`python -m tests.support.killed_import POINT RUN_ID FILE`; the settings come from the environment.
"""

import asyncio
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.factory import Factory
from app.pipeline.plan import Plan
from app.pipeline.run import ImportRun
from app.pipeline.stage import stage
from app.services.run_reporting import RunReporting
from app.settings import Settings
from tests.support.imports import execute

BEFORE_COMMIT = ("after staging", "in the replace", "before the commit")
AFTER_COMMIT = "after the commit"
FIRST_INSERT = "INSERT INTO certification"
"""Of the replace: by then records were deleted, and none inserted."""


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def stage_and_die(*arguments: Any) -> None:
    await stage(*arguments)
    die()


async def replace_and_die(self: ImportRun, plan: Plan, *arguments: Any, **options: Any) -> Any:
    def look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(FIRST_INSERT):
            die()

    sa.event.listen(plan.connection.sync_connection, "before_cursor_execute", look)
    return await written(self, plan, *arguments, **options)


async def die_at_commit(self: ImportRun, plan: Plan, *arguments: Any, **options: Any) -> Any:
    sa.event.listen(plan.connection.sync_connection, "commit", die)
    return await written(self, plan, *arguments, **options)


planning: Any = import_module("app.pipeline.plan")
written = ImportRun._write


def arrange(point: str) -> None:
    match point:
        case "after staging":
            planning.stage = stage_and_die
        case "in the replace":
            ImportRun._write = replace_and_die  # type: ignore[method-assign] # same
        case "before the commit":
            ImportRun._write = die_at_commit  # type: ignore[method-assign] # same
        case "after the commit":
            RunReporting.report = die  # type: ignore[method-assign,assignment] # same


if __name__ == "__main__":
    arrange(sys.argv[1])
    factory = Factory(Settings())
    asyncio.run(execute(factory, UUID(sys.argv[2]), Path(sys.argv[3])))
