"""Tasks, the clock, ticks and workers as rules of a state machine, with the models told the same."""

import asyncio
import datetime as dt
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import time_machine
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.constants import DAYS, RunKind, RunStatus
from app.factory import Factory
from app.failures import NoFile
from app.models.base import utc_now
from tests.support.imports import DISTRICT, execute, records
from tests.support.record_model import RecordModel
from tests.support.small_world import SmallWorld
from tests.support.timetable import ModelRun, ModelTask, Timetable
from workers.sweep import sweep

START = datetime(2026, 10, 24, 12, tzinfo=UTC)
"""In Berlin clocks go back the next day, in New York a week later; some weeks on all of them change again."""
ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe")
TASKS = 3

users = st.sampled_from(["kmarsh", "jdoe"])
picks = st.integers(0, 99)
twice = st.integers(1, 2)
schedules: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(["active", "active", "active", "inactive"]),
    "scheduled_start_date": st.sampled_from([date(2020, 1, 1), date(2026, 10, 25), date(2026, 11, 20)]),
    "time": st.sampled_from([dt.time(1, 30), dt.time(2, 30), dt.time(12, 10)]),
    "timezone": st.sampled_from(ZONES),
    "recurrence": st.sampled_from([list(DAYS), ["sun"], ["mon", "wed", "fri"]]),
}
descriptions = {"description": st.sampled_from(["nightly", "weekly", "monthly"])}
changes = st.fixed_dictionaries(descriptions) | st.fixed_dictionaries({}, optional=schedules | descriptions)
waits = st.sampled_from(
    [
        timedelta(seconds=1),
        timedelta(seconds=21),
        timedelta(minutes=20),
        timedelta(hours=7),
        timedelta(days=1),
        timedelta(days=8),
        timedelta(days=130),
    ]
)
around = st.sampled_from([timedelta(seconds=seconds) for seconds in (-3, -1, 0, 1, 20, 60, 61, 5000)])
files = st.integers(0, 1)


class ScheduleMachine(RuleBasedStateMachine):
    """The service beside the models; what both are told is a rule, that they agree an invariant."""

    def __init__(self, world: SmallWorld, clock: time_machine.Traveller) -> None:
        super().__init__()
        self.world = world
        self.clock = clock
        clock.move_to(START)
        world.begin()
        self.timetable = Timetable()
        self.records = RecordModel()
        self.seen: list[UUID] = []

    @property
    def tasks(self) -> list[ModelTask]:
        return [task for task in self.timetable.tasks if not task.deleted]

    def task(self, pick: int) -> ModelTask:
        return self.tasks[pick % len(self.tasks)]

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        self.world.run(self.world.check(self.timetable))
        self.world.run(self.records.compare(self.world.factory))
        ids = [run.id for run in self.timetable.runs if run.id]
        self.seen += [run_id for run_id in ids if run_id not in self.seen]

    @initialize(fields=st.fixed_dictionaries(schedules | descriptions), user=users)
    def first_task(self, fields: dict[str, Any], user: str) -> None:
        self.add_task(fields | {"status": "active"}, user)

    @precondition(lambda self: len(self.tasks) < TASKS)
    @rule(fields=st.fixed_dictionaries(schedules | descriptions), user=users)
    def add_task_too(self, fields: dict[str, Any], user: str) -> None:
        self.add_task(fields, user)

    def add_task(self, fields: dict[str, Any], user: str) -> None:
        task = self.world.run(self.world.factory.tasks.create(DISTRICT, user, fields))
        self.timetable.add(task.id, fields, user, utc_now())

    @precondition(lambda self: self.tasks)
    @rule(pick=picks, user=users, fields=changes)
    def change_task(self, pick: int, user: str, fields: dict[str, Any]) -> None:
        self.change(self.task(pick), user, fields)

    def change(self, task: ModelTask, user: str, fields: dict[str, Any]) -> None:
        self.world.run(self.world.factory.tasks.change(DISTRICT, user, task.id, fields, None))
        self.timetable.change(task, fields, user, utc_now())

    @precondition(lambda self: len(self.tasks) > 1)
    @rule(pick=picks)
    def delete_task(self, pick: int) -> None:
        task = self.task(pick)
        self.world.run(self.world.factory.tasks.delete(DISTRICT, task.id, None))
        self.timetable.delete(task)

    @rule(wait=waits)
    def time_passes(self, wait: timedelta) -> None:
        self.clock.shift(wait)

    @precondition(lambda self: any(task.next for task in self.tasks))
    @rule(pick=picks, offset=around)
    def a_task_becomes_due(self, pick: int, offset: timedelta) -> None:
        instants = [task.next for task in self.tasks if task.next]
        self.clock.move_to(max(utc_now(), instants[pick % len(instants)] + offset))

    @rule(times=st.sampled_from([1, 4]), sweeping=st.booleans(), old=picks)
    def chores(self, times: int, sweeping: bool, old: int) -> None:
        """Ticks and perhaps a sweep, beside a worker that has a message about anything."""
        self.tick(times)
        if sweeping:
            self.sweep()
        if self.seen:
            self.execute(self.seen[old % len(self.seen)], "done")

    def tick(self, times: int) -> None:
        now = utc_now()
        assert self.at_once(lambda factory: factory.schedule.tick(now), times) == [None] * times
        due = self.timetable.tick(now)
        assert {run.id for run in due if run.id} <= set(self.world.messages)

    def sweep(self) -> None:
        self.world.run(sweep({"factory": self.world.factory}))

    @precondition(lambda self: self.stirring)
    @rule(pick=picks, file=files)
    def a_worker_imports(self, pick: int, file: int) -> None:
        self.world.file = file
        self.execute(self.stirring[pick % len(self.stirring)], "done")

    @precondition(lambda self: self.stirring)
    @rule(pick=picks, how=st.sampled_from(["no file", "cancelled", "hangs"]))
    def a_worker_fails(self, pick: int, how: str) -> None:
        self.execute(self.stirring[pick % len(self.stirring)], how)

    @precondition(lambda self: self.stirring)
    @rule(
        pick=picks,
        how=st.sampled_from(["stopped", "dead"]),
        pause=waits,
        user=users,
        fields=st.none() | changes,
    )
    def a_worker_goes(
        self, pick: int, how: str, pause: timedelta, user: str, fields: dict[str, Any] | None
    ) -> None:
        """Before another worker comes somebody may have changed the task."""
        run_id = self.stirring[pick % len(self.stirring)]
        self.execute(run_id, how)
        self.clock.shift(pause)
        run = self.timetable.of(run_id)
        if run and fields and not run.task.deleted:
            self.change(run.task, user, fields)

    @property
    def stirring(self) -> list[UUID]:
        """Runs of which a worker may have a message."""
        now = utc_now()
        return [run.id for run in self.timetable.runs if run.id and run.stirs(now)]

    def execute(self, run_id: UUID, how: str) -> None:
        """Let a worker (or two of them, told the same) have the run; `how` is what becomes of it."""
        world, run = self.world, self.timetable.of(run_id)
        world.messages = [message for message in world.messages if message != run_id]
        if how == "dead":
            taken = world.run(world.factory.execution._claim(run_id, from_disk=False)) is not None
            assert taken == self.timetable.claim(run, utc_now())
            return
        before = world.run(records(world.factory))
        steps = {"no file": no_file, "stopped": stop, "cancelled": self.cancel_it, "hangs": self.hang}
        world.meanwhile = steps.get(how)
        taken = self.begin(run)
        answers = self.at_once(lambda factory: execute(factory, run_id), 2 if how == "done" else 1)
        world.meanwhile = None
        assert all(answer is None or isinstance(answer, asyncio.CancelledError) for answer in answers), (
            answers
        )
        if not taken or run is None:
            return
        if run.status is RunStatus.IN_PROGRESS:
            self.ends(run, how)
        if run.kind is RunKind.PREVIEW or run.status is not RunStatus.SUCCEEDED:
            assert world.run(records(world.factory)) == before

    def begin(self, run: ModelRun | None) -> bool:
        taken = self.timetable.claim(run, utc_now())
        if taken and run:
            self.timetable.give_up(run)
        return taken

    def ends(self, run: ModelRun, how: str) -> None:
        if how == "stopped":
            self.timetable.put_back(run)
        elif how == "no file":
            run.status = RunStatus.FAILED
        else:
            run.status = RunStatus.SUCCEEDED
            if run.kind is RunKind.IMPORT:
                self.records.load(self.world.file)

    async def cancel_it(self, run_id: UUID) -> None:
        run = self.timetable.of(run_id)
        await self.world.factories[1].runs.cancel(DISTRICT, run_id)
        assert self.timetable.cancel(run, utc_now())

    async def hang(self, run_id: UUID) -> None:
        """Wake up when another worker has done the work, which ends in the other's way."""
        self.clock.shift(timedelta(seconds=21))
        await execute(self.world.factories[1], run_id)
        assert self.begin(self.timetable.of(run_id))

    def at_once(self, step: Callable[[Factory], Any], times: int) -> list[Any]:
        return self.world.run(self.world.at_once(step, times))


async def no_file(_: UUID) -> None:
    raise NoFile("There is no licence file.")


async def stop(_: UUID) -> None:
    raise asyncio.CancelledError
