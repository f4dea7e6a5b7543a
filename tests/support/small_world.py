"""One district to drive step by step: its service, the state's server, the queue and the clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine

from app.constants import FINAL_STATUSES
from app.factory import Factory
from app.job_queue import JobQueue
from app.models import IdempotencyKey, Run, Task
from app.pipeline.fetch import FetchedFile, Fetcher
from app.pipeline.layout import Layout
from app.services import run_execution, run_reporting
from app.settings import Settings
from tests.support.by_hand import forget_everything
from tests.support.imports import DISTRICT, add_district, empty_pdf, import_file, run_table, select, write
from tests.support.record_model import PEOPLE, licence_files
from tests.support.timetable import ROW, Timetable

T = TypeVar("T")
Meanwhile = Callable[[UUID], Awaitable[None]]
task_table = Task.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
key_table = IdempotencyKey.__table__  # type: ignore[attr-defined] # same
AFTER_THE_END = {"report_pdf", "report_tries", "report_tried_at", "task_id"}
"""Columns that change after a run has ended: its PDF is made, its task deleted."""


class SmallWorld:
    """What the machine acts on; `meanwhile` is done by whoever asks the state for its file next."""

    def __init__(self, settings: Settings, files: list[Path], runner: asyncio.Runner) -> None:
        self.factories = [Factory(settings), Factory(settings)]
        self.factory = self.factories[0]
        self.files = files
        self.messages: list[UUID] = []
        self.meanwhile: Meanwhile | None = None
        self._runner = runner
        self.run(add_district(self.factory, DISTRICT))
        self.begin()

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(step)

    def begin(self) -> None:
        """Forget everything but the district."""
        self.run(self._begin())

    async def _begin(self) -> None:
        await forget_everything(self.factory)
        await write(self.factory, *(sa.delete(table) for table in (task_table, key_table, import_file)))
        await self.factory.employees.put_all(DISTRICT, PEOPLE)
        self.messages.clear()
        self.file = 0
        self.ended: dict[UUID, dict[str, Any]] = {}
        self.begun: dict[tuple[UUID, Any], UUID] = {}

    async def fetch(
        self, fetcher: Fetcher, run: Run, layout: Layout, scratch: Path, *_: object
    ) -> FetchedFile:
        step, self.meanwhile = self.meanwhile, None
        if step is not None:
            await step(run.id)
        return await fetcher.from_disk(self.files[self.file], layout, scratch)

    async def at_once(self, step: Callable[[Factory], Awaitable[T]], times: int) -> list[T | BaseException]:
        """Do a step so many times at once, in one process and in the other."""
        steps = (step(self.factories[number % 2]) for number in range(times))
        return await asyncio.gather(*steps, return_exceptions=True)

    async def check(self, timetable: Timetable) -> None:
        """Fail unless tasks and runs are as the model has them, and what must never be is not."""
        rows = await select(self.factory, sa.select(run_table))
        for run in timetable.runs:
            if run.id is None:
                run.id = next(
                    (row["id"] for row in rows if (row["task_id"], row["slot"]) == (run.task.id, run.slot)),
                    None,
                )
        assert {row["id"]: tuple(row[name] for name in ROW) for row in rows} == {
            run.id: run.row() for run in timetable.runs
        }
        tasks = await select(self.factory, sa.select(task_table))
        assert {row["id"]: (row["next_run_at"], row["scheduled_by"]) for row in tasks} == {
            task.id: (task.next, task.by) for task in timetable.tasks if not task.deleted
        }
        self._check_laws(rows, tasks)

    def _check_laws(self, rows: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> None:
        assert len([row for row in rows if row["status"] == "in_progress"]) <= 1
        for row in rows:
            if row["slot"] and row["task_id"] and row["actual_start"]:
                assert self.begun.setdefault((row["task_id"], row["slot"]), row["id"]) == row["id"]
            if row["status"] in FINAL_STATUSES:
                facts = {name: value for name, value in row.items() if name not in AFTER_THE_END}
                assert self.ended.setdefault(row["id"], facts) == facts
        for task in tasks:
            ahead = [
                row["slot"]
                for row in rows
                if row["task_id"] == task["id"] and row["slot"] and not row["actual_start"]
                if row["status"] == "waiting" and row["slot"] >= (task["next_run_at"] or row["slot"])
            ]
            # One that a worker began before the tick saw it has its successor by the next tick.
            begun = (task["id"], task["next_run_at"]) in self.begun
            assert ahead == [task["next_run_at"]] * (task["status"] == "active" and not begun)
        assert self.ended.keys() <= {row["id"] for row in rows}


@asynccontextmanager
async def no_heartbeat(*_: object) -> AsyncIterator[None]:
    """Stand for the heartbeat, which beats by another clock than ours."""
    yield


@contextmanager
def small_world(
    settings: Settings, directory: Path, patch: pytest.MonkeyPatch, *, start: datetime
) -> Iterator[tuple[SmallWorld, time_machine.Traveller]]:
    """Yield a world whose clock stands at `start`, in UTC, until it is moved."""
    with asyncio.Runner() as runner, time_machine.travel(start, tick=False) as clock:
        world = SmallWorld(settings, licence_files(directory), runner)

        async def fetch(fetcher: Fetcher, *arguments: Any) -> FetchedFile:
            return await world.fetch(fetcher, *arguments)

        async def enqueue(_queue: JobQueue, run_id: UUID, _nudge: str) -> bool:
            world.messages.append(run_id)
            return True

        patch.setattr(Fetcher, "from_state", fetch)
        patch.setattr(JobQueue, "enqueue_run", enqueue)
        patch.setattr(run_reporting, "render_pdf", empty_pdf)
        patch.setattr(run_execution, "heartbeat", no_heartbeat)
        try:
            yield world, clock
        finally:
            for factory in world.factories:
                runner.run(factory.close())
