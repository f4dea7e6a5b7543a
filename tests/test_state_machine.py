"""Tasks, ticks, workers, runs and edits in any order: after every step all is as simple models have it."""

from collections.abc import Coroutine
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import pytest
import time_machine
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from app.constants import RunKind, RunStatus
from app.errors import (
    AppError,
    IdempotencyKeyReusedError,
    NotFoundError,
    RunInProgressError,
    RunNotCancellableError,
)
from app.models import Run
from app.models.base import utc_now
from app.services.idempotency import NO_KEY, AnswerRepeated, Once, StoredAnswer
from app.services.runs import RunOptions
from app.settings import Settings
from app.storage.idempotency_keys import KeyedRequest
from tests.support.imports import DISTRICT
from tests.support.record_model import (
    CODES,
    EMPLOYEES,
    LICENCES,
    code_id,
    licence_id,
    new_code,
    new_licence,
)
from tests.support.schedule_machine import START, ScheduleMachine, files, picks, twice, users, waits
from tests.support.schedules import end
from tests.support.small_world import SmallWorld, small_world
from tests.support.timetable import ModelRun, ModelTask

EXAMPLES = {"sqlite": 20, "postgresql": 4}
STEPS = 40
KEPT = timedelta(hours=24)
ROUNDS = 12
"""Ticks and sweeps, 20 seconds apart, by which all that is due has been done."""

licences = st.tuples(st.sampled_from(EMPLOYEES), st.sampled_from(LICENCES))
LicenceKey: TypeAlias = tuple[str, str]


class Machine(ScheduleMachine):
    """What people do besides: they start and cancel runs, and edit records."""

    def __init__(self, world: SmallWorld, clock: time_machine.Traveller) -> None:
        super().__init__(world, clock)
        self.keys: dict[tuple[str, str], tuple[datetime, tuple[UUID, RunKind], UUID]] = {}

    @precondition(lambda self: self.tasks and not self.timetable.unfinished(utc_now()))
    @rule(pick=picks, user=users, kind=st.sampled_from(RunKind), file=files)
    def run_to_the_end(self, pick: int, user: str, kind: RunKind, file: int) -> None:
        task = self.task(pick)
        self.world.file = file
        self.start(task, user, kind, None, clicks=1)
        run_id = self.timetable.runs[-1].id
        assert run_id is not None
        self.execute(run_id, "done")

    @precondition(lambda self: self.timetable.tasks)
    @rule(
        pick=picks,
        user=users,
        kind=st.sampled_from([RunKind.IMPORT, RunKind.IMPORT, RunKind.PREVIEW]),
        key=st.sampled_from([None, "a"]),
        clicks=twice,
    )
    def run_now(self, pick: int, user: str, kind: RunKind, key: str | None, clicks: int) -> None:
        self.start(self.timetable.tasks[pick % len(self.timetable.tasks)], user, kind, key, clicks=clicks)

    def start(self, task: ModelTask, user: str, kind: RunKind, key: str | None, *, clicks: int) -> None:
        """Ask for a run, with several clicks at once."""
        request = KeyedRequest(DISTRICT, user, key, f"{task.id} {kind}") if key else None
        once = Once(request, stored) if request else NO_KEY
        options, now = RunOptions(kind), utc_now()
        answers = self.at_once(
            lambda factory: factory.runs.start(DISTRICT, task.id, user, options, once), clicks
        )
        found = sorted(map(answer_of, answers), key=str)

        known = self.keys.get((user, key)) if key else None
        if known and known[0] >= now - KEPT:
            same = known[1] == (task.id, kind)
            assert found == [("repeated", known[2]) if same else IdempotencyKeyReusedError] * clicks
        elif task.deleted:
            assert found == [NotFoundError] * clicks
        elif busy := self.timetable.unfinished(now):
            assert all(isinstance(answer, tuple) and answer[0] == "busy" for answer in found), found
            assert {answer[1] for answer in found} <= busy
        else:
            (started,) = (answer.id for answer in answers if isinstance(answer, Run))
            again = ("repeated" if key else "busy", started)
            assert found == sorted([("started", started), *[again] * (clicks - 1)], key=str)
            description = task.fields["description"]
            self.timetable.runs.append(ModelRun(task, description, now, user, kind=kind, id=started))
            if key:
                self.keys[user, key] = (now, (task.id, kind), started)

    @precondition(lambda self: self.seen)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        run_id = self.seen[-1 - pick % len(self.seen)]
        run = self.timetable.of(run_id)
        refusal = self.refusal_of(self.world.factory.runs.cancel(DISTRICT, run_id))
        if run is None:
            assert refusal is NotFoundError
        else:
            assert refusal is (None if self.timetable.cancel(run, utc_now()) else RunNotCancellableError)

    @rule(
        key=licences,
        edit=st.sampled_from(["add", "change", "change", "delete"]),
        status=st.sampled_from(["ACT", "UDR"]),
        user=users,
    )
    def edit_licence(self, key: LicenceKey, edit: str, status: str, user: str) -> None:
        service, identifier = self.world.factory.certifications, licence_id(*key)
        match edit:
            case "add":
                call: Any = service.create(DISTRICT, user, new_licence(*key, status))
                expected = self.records.add_licence(identifier, key[0], status)
            case "change":
                call = service.change(DISTRICT, user, identifier, {"status": status}, None)
                expected = self.records.change_licence(identifier, status)
            case _:
                call = service.delete(DISTRICT, user, identifier, None)
                expected = self.records.delete_licence(identifier)
        assert self.refusal_of(call) is expected

    @rule(
        licence=licences,
        code=st.sampled_from(CODES),
        pick=picks,
        edit=st.sampled_from(["add", "change", "choose", "choose", "leave", "delete"]),
        limitation=st.sampled_from(["by hand", "from the state", "other"]),
        user=users,
    )
    def edit_code(
        self, licence: LicenceKey, code: str, pick: int, edit: str, limitation: str, user: str
    ) -> None:
        """Do something to one that is there; to one that may be there if there is none."""
        service, held_by = self.world.factory.endorsements, licence_id(*licence)
        there = sorted(self.records.codes) or [code_id(held_by, code)]
        key = there[pick % len(there)]
        match edit:
            case "add":
                call: Any = service.create(DISTRICT, user, new_code(held_by, code, limitation))
                expected = self.records.add_code(held_by, code, limitation)
            case "change":
                call = service.change(DISTRICT, user, key, {"limitation": limitation}, None)
                expected = self.records.change_code(key, limitation)
            case "delete":
                call = service.delete(DISTRICT, user, key, None)
                expected = self.records.delete_code(key)
            case _:
                primary = edit == "choose"
                call = service.change(DISTRICT, user, key, {"primary": primary}, None)
                expected = self.records.choose(key, primary=primary)
        assert self.refusal_of(call) is expected

    def refusal_of(self, call: Coroutine[Any, Any, object]) -> type[Exception] | None:
        try:
            self.world.run(call)
        except AppError as error:
            return type(error)
        return None

    def work_goes_on(self) -> None:
        """Ticks, sweeps and workers that live: soon all is done, whatever happened before."""
        for _ in range(ROUNDS):
            self.tick(1)
            self.all_is_as_it_should_be()
            self.sweep()
            while self.world.messages:
                self.finish_quickly(self.world.messages.pop(0))
            if self.timetable.quiet(utc_now()):
                return
            self.clock.shift(timedelta(seconds=20))
        raise AssertionError("what was due is not done")

    def finish_quickly(self, run_id: UUID) -> None:
        """Let a worker end the run without an import, which takes long."""
        run = self.timetable.of(run_id)
        taken = self.world.run(self.world.factory.execution._claim(run_id, from_disk=False))
        assert (taken is not None) == self.timetable.claim(run, utc_now())
        if taken and run:
            self.world.run(end(self.world.factory, taken))
            run.status = RunStatus.SUCCEEDED

    @rule(wait=waits, forgetful=st.booleans())
    def the_service_is_down(self, wait: timedelta, forgetful: bool) -> None:
        """Of all that a task missed, the first is made up for, and nothing else; Redis may forget all."""
        if forgetful:
            self.world.messages.clear()
        self.work_goes_on()
        self.all_is_as_it_should_be()
        down, before = utc_now(), set(self.world.begun)
        missed = {task.id: self.missed(task, down, down + wait) for task in self.tasks if task.active}
        self.clock.shift(wait)
        up = utc_now()
        self.work_goes_on()
        self.all_is_as_it_should_be()
        made_up = [begun for begun in self.world.begun if begun not in before and begun[1] <= up]
        assert sorted(made_up) == sorted((task, slot) for task, slot in missed.items() if slot)

    def missed(self, task: ModelTask, down: datetime, up: datetime) -> datetime | None:
        over = {run.slot for run in self.timetable.runs if run.task is task and not run.untouched}
        first = next(due for due in task.occurrences(down) if due not in over)
        return first if first <= up else None

    def teardown(self) -> None:
        self.work_goes_on()
        self.all_is_as_it_should_be()


def stored(run: Run) -> StoredAnswer:
    return StoredAnswer(202, {}, {"id": str(run.id)})


def answer_of(answer: object) -> Any:
    """What a request to start a run came to: a word and the run, or a refusal that names none."""
    match answer:
        case Run():
            return "started", answer.id
        case AnswerRepeated():
            return "repeated", UUID(answer.answer.body["id"])
        case RunInProgressError():
            assert answer.extra is not None
            return "busy", UUID(answer.extra["run_id"])
    return type(answer)


@pytest.mark.timeout(300)  # a minute beside three others that keep the machine busy
def test_any_history_is_as_the_models_have_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    tried = hypothesis_settings(
        max_examples=EXAMPLES[request.node.callspec.params["settings"]],
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),  # add Phase.shrink for the shortest history that fails: it takes minutes
        suppress_health_check=list(HealthCheck),  # a step is a request or an import, so all are slow
    )
    with small_world(settings, tmp_path / "state", monkeypatch, start=START) as (world, clock):
        run_state_machine_as_test(partial(Machine, world, clock), settings=tried)  # type: ignore[arg-type] # any callable that makes one will do
