"""A run's progress as events, which a client can leave at any point and take up again without a gap.

Nothing of the stream is stored: what came after a place follows from that place and the run's row.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from app.constants import FINAL_STATUSES, RunKind, RunPhase
from app.errors import NotFoundError, ServiceUnavailableError
from app.models import Run
from app.services.runs import RunService

POLL = 1.0
"""Seconds between two looks at the run's row, which its worker writes as often."""
KEEP_ALIVE = 15.0
"""Seconds of silence after which something is sent, so that no proxy takes the stream for dead."""
LONGEST = 3600.0
"""Seconds after which a stream ends; its client connects again, with a token that is looked at again."""

MOST_STREAMS = 200
"""Open at a time: each asks the database once in `POLL`."""

PHASES = (None, *RunPhase)
"""A waiting run is in none; the place of a phase counts from there."""
PLACE = re.compile(r"(\d{1,9})\.([0-5])\.(\d{1,2}|100)(\.end)?", re.ASCII)


class Place(NamedTuple):
    """Where in a run's stream an event stands. Places increase, and the end comes after everything.

    `phase` is an index of `PHASES`; `progress` is in percent of the whole run.
    """

    ended: bool
    attempt: int
    phase: int
    progress: int

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """Return the place of an event's id; None for what is no such id."""
        found = PLACE.fullmatch(text or "")
        if found is None:
            return None
        attempt, phase, progress = (int(number) for number in found.groups()[:3])
        return cls(found[4] is not None, attempt, phase, progress)

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return how far a run is."""
        return cls(run.status in FINAL_STATUSES, run.attempt, PHASES.index(run.phase), run.progress)

    def __str__(self) -> str:
        return f"{self.attempt}.{self.phase}.{self.progress}{'.end' if self.ended else ''}"


@dataclass(frozen=True)
class RunEvent:
    """`name` is phase, progress or end; `place` is the event's id."""

    name: str
    place: Place
    data: dict[str, Any]


def events_after(seen: Place | None, run: Run) -> Iterator[RunEvent]:
    """Yield what has happened to the run since `seen`, or since its present attempt began if that is None.

    Every phase that was entered is told, of the progress only the present one. A run that was put back to
    waiting loses the attempt and begins it again; it is silent until it is further than it was.
    """
    here = Place.of(run)
    if seen == here and here.ended:
        return
    latest = Place(ended=False, attempt=-1, phase=0, progress=0)
    if seen and not seen.ended and seen.attempt <= here.attempt + 1:  # else it is no id of this run
        latest = seen
    for index in range(min(1, here.phase), here.phase + 1):
        entered = Place(ended=False, attempt=here.attempt, phase=index, progress=0)
        skipped = PHASES[index] is RunPhase.REPLACE and run.kind is RunKind.PREVIEW
        if entered > latest and not skipped:
            latest = entered
            yield RunEvent("phase", entered, {"phase": PHASES[index], "attempt": here.attempt})
    now = here._replace(ended=False)
    if now > latest:
        yield RunEvent("progress", now, {"phase": run.phase, "progress": run.progress})
    if here.ended:
        failure = run.failure_code and {"code": run.failure_code, "message": run.failure_message}
        yield RunEvent("end", here, {"status": run.status, "failure": failure})


class RunEvents:
    """The open streams of a process."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs
        self._closing = asyncio.Event()
        self._open = 0

    async def follow(self, run: Run, seen: Place | None) -> AsyncIterator[RunEvent | None]:
        """Yield what comes after `seen` until the run has ended, and None where a sign of life is due.

        Ends early after `LONGEST` and at `close`. Holds no connection of the database while it waits.
        """
        self._open += 1
        try:
            async for event in self._follow(run, seen):
                yield event
        finally:
            self._open -= 1

    async def _follow(self, run: Run, seen: Place | None) -> AsyncIterator[RunEvent | None]:
        clock = asyncio.get_running_loop().time
        began = spoke = clock()
        while True:
            for event in events_after(seen, run):
                yield event
                seen, spoke = event.place, clock()
            if run.status in FINAL_STATUSES or clock() - began >= LONGEST:
                return
            if clock() - spoke >= KEEP_ALIVE:
                yield None
                spoke = clock()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), POLL)
                return
            try:
                run = await self._runs.get(run.district_id, run.id)
            except NotFoundError:  # it waited, and its task has another schedule now; the next answer is 404
                return

    def check_room(self) -> None:
        """Raise ServiceUnavailableError while this process has as many streams as it can serve."""
        if self._open >= MOST_STREAMS:
            raise ServiceUnavailableError(
                f"{MOST_STREAMS} runs are being followed here already. Ask for the run itself, or try later.",
                headers={"Retry-After": "30"},
            )

    def close(self) -> None:
        """End every stream, so that the server can stop; clients connect to the next one."""
        self._closing.set()
