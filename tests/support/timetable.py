"""What should stand on the list of runs: a model in plain Python, written by the tables of the docs.

Instants are found by searching all offsets that a zone has around a day, not by the rule of the service.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from app.constants import DAYS, FINAL_STATUSES, RunKind, RunStatus, RunTrigger

LATE = timedelta(minutes=1)
LOST = timedelta(seconds=20)
"""Age of the heartbeat of a run whose worker is gone."""
ATTEMPTS = 5
SCHEDULE = ("status", "scheduled_start_date", "time", "timezone", "recurrence")


@cache
def due_on(day: date, local: time, zone_name: str) -> datetime:
    """The instant of a local time: its first, or without any as late after the gap as it is inside."""
    zone, wall = ZoneInfo(zone_name), datetime.combine(day, local, tzinfo=UTC)
    offsets = [
        (wall + timedelta(hours=hours)).astimezone(zone).utcoffset() or timedelta(0)
        for hours in range(-48, 49)
    ]
    possible = (wall - offset for offset in offsets)
    same = [at for at in possible if at.astimezone(zone).replace(tzinfo=UTC) == wall]
    return min(same) if same else wall - offsets[0]


@dataclass
class ModelTask:
    """A task, and when its next run is due."""

    id: UUID
    fields: dict[str, Any]
    by: str
    next: datetime | None = None
    deleted: bool = False

    @property
    def active(self) -> bool:
        return not self.deleted and self.fields["status"] == "active"

    def occurrences(self, after: datetime) -> Iterator[datetime]:
        day = max(self.fields["scheduled_start_date"], after.date() - timedelta(days=2))
        while True:
            if DAYS[day.weekday()] in self.fields["recurrence"]:
                due = due_on(day, self.fields["time"], self.fields["timezone"])
                if due > after:
                    yield due
            day += timedelta(days=1)


@dataclass
class ModelRun:
    """A row of the list; `id` is learnt from the service, `claimed` is when a worker took it last."""

    task: ModelTask
    description: str
    scheduled_start: datetime
    run_by: str
    slot: datetime | None = None
    kind: RunKind = RunKind.IMPORT
    id: UUID | None = None
    status: RunStatus = RunStatus.WAITING
    attempt: int = 0
    started: datetime | None = None
    claimed: datetime | None = None
    late: bool = False

    @property
    def untouched(self) -> bool:
        return self.status is RunStatus.WAITING and self.started is None

    def due(self, now: datetime) -> bool:
        return self.status is RunStatus.WAITING and self.scheduled_start <= now

    def stirs(self, now: datetime) -> bool:
        """Whether a worker may have a message about it."""
        return self.due(now) or self.status is RunStatus.IN_PROGRESS

    def row(self) -> tuple[Any, ...]:
        """What the table should hold of it."""
        trigger = RunTrigger.RUN_NOW if self.slot is None else RunTrigger.SCHEDULE
        of = None if self.task.deleted else self.task.id
        shown = (self.description, self.kind, trigger, self.run_by, self.scheduled_start, self.slot)
        return (of, *shown, self.status, self.attempt, self.started, self.late)


ROW = (
    "task_id",
    "task_description",
    "kind",
    "trigger",
    "run_by",
    "scheduled_start",
    "slot",
    "status",
    "attempt",
    "actual_start",
    "late",
)
"""Columns of `ModelRun.row`."""


@dataclass
class Timetable:
    """All tasks of a district, deleted ones too, and all its runs that should be there."""

    tasks: list[ModelTask] = field(default_factory=list)
    runs: list[ModelRun] = field(default_factory=list)

    def of(self, run_id: UUID) -> ModelRun | None:
        return next((run for run in self.runs if run.id == run_id), None)

    def add(self, task_id: UUID, fields: dict[str, Any], by: str, now: datetime) -> None:
        task = ModelTask(task_id, fields, by)
        self.tasks.append(task)
        self.place(task, now)

    def change(self, task: ModelTask, fields: dict[str, Any], by: str, now: datetime) -> None:
        before, task.fields = task.fields, task.fields | fields
        if any(task.fields[name] != before[name] for name in SCHEDULE):
            task.by = by
            self.take_back(task)
            self.place(task, now)
        for run in self.runs:
            if run.task is task and run.slot and run.untouched:
                run.description = task.fields["description"]

    def delete(self, task: ModelTask) -> None:
        self.take_back(task)
        task.deleted = True

    def take_back(self, task: ModelTask, after: datetime | None = None) -> None:
        """Remove what nobody has begun; with `after`, what is due later."""
        self.runs = [
            run
            for run in self.runs
            if not (run.task is task and run.slot and run.untouched and (after is None or run.slot > after))
        ]

    def place(self, task: ModelTask, after: datetime) -> None:
        """What was begun or cancelled is over, so the next run is the first occurrence that was not."""
        if not task.active:
            task.next = None
            return
        over = {run.slot for run in self.runs if run.task is task and not run.untouched}
        task.next = next(due for due in task.occurrences(after) if due not in over)
        description = task.fields["description"]
        self.runs.append(ModelRun(task, description, task.next, task.by, slot=task.next))

    def tick(self, now: datetime) -> list[ModelRun]:
        """Of what is due and waits the first stays, for all that was missed; the next takes its place.

        Returns those that a worker has to be told of now.
        """
        told: list[ModelRun] = []
        for task in self.tasks:
            if not task.active or task.next is None or task.next > now:
                continue
            ours = [run for run in self.runs if run.task is task and run.slot]
            if waiting := [run for run in ours if run.due(now)]:
                told.append(min(waiting, key=lambda run: run.scheduled_start))
                self.take_back(task, after=told[-1].slot)
                self.place(task, now)
            else:
                # A worker was quicker than the tick. What was missed since it began is not forgotten.
                (begun,) = (run.started for run in ours if run.slot == task.next)
                assert begun is not None
                self.place(task, begun)
                if task.next <= now:
                    told.append(self.runs[-1])
                    self.place(task, now)
        return told

    def unfinished(self, now: datetime) -> set[UUID | None]:
        """The run in progress, or else the first of those that are due and wait (or several at once)."""
        if busy := {run.id for run in self.runs if run.status is RunStatus.IN_PROGRESS}:
            return busy
        due = [run for run in self.runs if run.due(now)]
        first = min((run.scheduled_start for run in due), default=now)
        return {run.id for run in due if run.scheduled_start == first}

    def claim(self, run: ModelRun | None, now: datetime) -> bool:
        """Let a worker begin the run; False when it may not."""
        if run is None or any(
            other.status is RunStatus.IN_PROGRESS and other is not run for other in self.runs
        ):
            return False
        lost = run.status is RunStatus.IN_PROGRESS and run.claimed is not None and run.claimed < now - LOST
        if not lost and not run.due(now):
            return False
        if run.started is None:
            run.started = now
            run.late = run.slot is not None and now > run.slot + LATE
        run.status, run.claimed, run.attempt = RunStatus.IN_PROGRESS, now, run.attempt + 1
        return True

    def give_up(self, run: ModelRun) -> None:
        """End a run that took too many workers down."""
        if run.attempt > ATTEMPTS:
            run.status = RunStatus.FAILED

    def put_back(self, run: ModelRun) -> None:
        run.status, run.attempt = RunStatus.WAITING, run.attempt - 1

    def cancel(self, run: ModelRun | None, now: datetime) -> bool:
        """End a run; a waiting occurrence is skipped, and the one after it takes its place."""
        if run is None or run.status in FINAL_STATUSES:
            return False
        run.status = RunStatus.CANCELLED
        if run.task.active and run.slot is not None and run.slot == run.task.next:
            self.place(run.task, now)
        return True

    def quiet(self, now: datetime) -> bool:
        """Whether everything was done that had to be by now."""
        return not self.unfinished(now) and all(
            task.next is not None and task.next > now for task in self.tasks if task.active
        )
