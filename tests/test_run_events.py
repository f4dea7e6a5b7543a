"""What a run's stream says, from its rows alone: nothing twice, nothing out of order, no phase left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.constants import FINAL_STATUSES, RunKind, RunPhase, RunStatus
from app.models import Run
from app.services.run_events import PHASES, Place, RunEvent, events_after
from tests.support.runs import waiting_run

ENDS = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)
STEPS = ("claim", "progress", "phase", "put back", "lost")


def state(
    status: RunStatus = RunStatus.IN_PROGRESS,
    attempt: int = 1,
    phase: RunPhase | None = RunPhase.FETCH,
    progress: int = 0,
    kind: RunKind = RunKind.IMPORT,
) -> Run:
    return waiting_run(status=status, attempt=attempt, phase=phase, progress=progress, kind=kind)


WAITING = state(RunStatus.WAITING, 0, None)


def told(seen: str | None, run: Run) -> list[tuple[str, str]]:
    return [(event.name, str(event.place)) for event in events_after(Place.read(seen), run)]


def test_waiting_run_is_in_no_phase() -> None:
    (event,) = events_after(None, WAITING)
    assert (event.name, event.data, str(event.place)) == ("phase", {"phase": None, "attempt": 0}, "0.0.0")
    assert told("0.0.0", WAITING) == []


def test_phases_that_were_passed_are_told_and_the_present_progress() -> None:
    assert told("0.0.0", state(phase=RunPhase.MATCH, progress=75)) == [
        ("phase", "1.1.0"),
        ("phase", "1.2.0"),
        ("phase", "1.3.0"),
        ("progress", "1.3.75"),
    ]
    event = list(events_after(None, state(phase=RunPhase.MATCH, progress=75)))[-1]
    assert event.data == {"phase": "match", "progress": 75}


def test_end_tells_status_and_failure() -> None:
    failed = state(RunStatus.FAILED, phase=RunPhase.PARSE, progress=40)
    failed.failure_code, failed.failure_message = "file_unreadable", "It is a picture."
    (event,) = events_after(Place.read("1.2.40"), failed)
    assert (event.name, str(event.place)) == ("end", "1.2.40.end")
    failure = {"code": "file_unreadable", "message": "It is a picture."}
    assert event.data == {"status": "failed", "failure": failure}
    assert told("1.2.40.end", failed) == []


def test_end_without_a_failure_has_none() -> None:
    *_, event = events_after(None, state(RunStatus.CANCELLED, 0, None))
    assert event.data == {"status": "cancelled", "failure": None}


def test_preview_never_replaces() -> None:
    done = state(RunStatus.SUCCEEDED, phase=RunPhase.REPORT, progress=100, kind=RunKind.PREVIEW)
    assert told("1.3.60", done) == [("phase", "1.5.0"), ("progress", "1.5.100"), ("end", "1.5.100.end")]


def test_next_attempt_begins_anew() -> None:
    assert told("1.4.92", state(attempt=2, progress=5)) == [("phase", "2.1.0"), ("progress", "2.1.5")]


def test_run_that_was_put_back_is_silent_until_it_is_further() -> None:
    assert told("1.2.45", WAITING) == []
    assert told("1.2.45", state(phase=RunPhase.PARSE, progress=45)) == []
    assert told("1.2.45", state(phase=RunPhase.PARSE, progress=46)) == [("progress", "1.2.46")]
    assert told("1.2.45", state(RunStatus.CANCELLED, 0, None)) == [("end", "0.0.0.end")]


@pytest.mark.parametrize(
    "garbage",
    ["", "x", "1", "1.2", "1.2.3.4", "1.2.3.End", "1.6.3", "1.1.101", "-1.1.1", "1.1.1\n", "9" * 99, "1.٢.3"],
)
def test_garbage_begins_at_the_start(garbage: str) -> None:
    run = state(phase=RunPhase.PARSE, progress=40)
    assert Place.read(garbage) is None
    assert told(garbage, run) == told(None, run)


@pytest.mark.parametrize("foreign", ["7.1.0", "1.2.40.end"])
def test_id_that_the_run_cannot_have_given_begins_at_the_start(foreign: str) -> None:
    run = state(phase=RunPhase.PARSE, progress=40)
    assert told(foreign, run) == told(None, run)
    ended = state(RunStatus.FAILED, phase=RunPhase.PARSE, progress=41)
    assert told(foreign, ended) == told(None, ended)


@st.composite
def histories(draw: st.DrawFn) -> list[Run]:
    """Rows of one run as they follow each other, whatever its workers do, up to its end."""
    kind = draw(st.sampled_from(RunKind))
    attempt, phase, progress, claimed = 0, 0, 0, False
    rows = [state(RunStatus.WAITING, 0, None, kind=kind)]
    for step in draw(st.lists(st.sampled_from(STEPS), max_size=25)):
        if step == "claim" and not claimed:
            attempt, phase, progress, claimed = attempt + 1, 1, 0, True
        elif step == "progress" and claimed:
            progress = draw(st.integers(progress, 100))
        elif step == "phase" and claimed:
            phase = draw(st.integers(phase, len(PHASES) - 1))
        elif step == "put back" and claimed:
            attempt, phase, progress, claimed = attempt - 1, 0, 0, False
        elif step == "lost" and claimed:
            attempt, phase, progress = attempt + 1, 1, 0
        status = RunStatus.IN_PROGRESS if claimed else RunStatus.WAITING
        rows.append(state(status, attempt, PHASES[phase], progress, kind))
    end = draw(st.sampled_from(ENDS))
    return [*rows, state(end, attempt, PHASES[phase], progress, kind)]


@dataclass
class Client:
    """Reads a stream, and gives nothing but the id of what it got last when it connects again."""

    got: list[RunEvent] = field(default_factory=list)

    def read(self, run: Run, limit: int | None = None) -> None:
        last = Place.read(str(self.got[-1].place)) if self.got else None
        self.got += list(events_after(last, run))[:limit]


def uninterrupted(rows: Sequence[Run]) -> list[RunEvent]:
    client = Client()
    for run in rows:
        client.read(run)
    return client.got


@given(rows=histories(), cuts=st.lists(st.integers(0, 3), max_size=60))
def test_reconnecting_gives_what_staying_would_have_given(rows: list[Run], cuts: list[int]) -> None:
    """The connection breaks in the middle of what one look at the row gave, any number of times."""
    client, breaks = Client(), iter(cuts)
    for run in rows:
        for limit in breaks:
            client.read(run, limit)
            if limit:
                break
        client.read(run)
    assert client.got == uninterrupted(rows)


@given(rows=histories(), away=st.lists(st.booleans(), max_size=40))
def test_absence_costs_nothing_but_progress(rows: list[Run], away: list[bool]) -> None:
    client = Client()
    for run, is_away in zip(rows[:-1], [*away, *[False] * len(rows)], strict=False):
        if not is_away:
            client.read(run)
            phases = {each.place.phase for each in client.got if each.place.attempt == run.attempt}
            left_out = {RunPhase.REPLACE} if run.kind is RunKind.PREVIEW else set()
            reached = set(PHASES[1 : PHASES.index(run.phase) + 1]) - left_out
            assert {PHASES.index(phase) for phase in reached} <= phases
    client.read(rows[-1])

    places = [event.place for event in client.got]
    assert all(one < other for one, other in pairwise(places))
    assert client.got[-1].name == "end"
    assert sum(event.name == "end" for event in client.got) == 1
    everything = iter(uninterrupted(rows))
    steady = [event for event in client.got if event.name != "phase"]
    assert all(event in everything for event in steady), "in the order of the whole stream"


def test_every_final_status_ends_a_stream() -> None:
    assert set(ENDS) == set(FINAL_STATUSES)
