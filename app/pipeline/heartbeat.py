"""Shows that a run's worker lives, and how far it is, while the run's own statements are busy."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.background import in_background
from app.constants import RunPhase
from app.database import Database
from app.errors import ServiceUnavailableError
from app.models.base import utc_now
from app.storage import runs

BEAT = 1.0
"""Seconds between beats, and so the age of the progress that the API shows."""

# Where a phase begins and ends on the scale of the whole run, in percent.
SCALE = {
    RunPhase.FETCH: (0, 30),
    RunPhase.PARSE: (30, 60),
    RunPhase.MATCH: (60, 90),
    RunPhase.REPLACE: (90, 99),
}

log = structlog.get_logger()


class OwnershipLostError(Exception):
    """Another execution has taken the run over, or it was ended: this one must not write any more."""


PHASES = tuple(RunPhase)


@dataclass
class Progress:
    """How far a run is; written with the next beat. It never goes back, whatever has to be done again.

    `ending` is set by the transaction that ends the run: from there on it has no owner to lose. `timed`
    measures what is done in a phase.
    """

    timed: Callable[[RunPhase], AbstractContextManager[None]]
    phase: RunPhase = RunPhase.FETCH
    percent: int = 0
    ending: bool = False

    @contextmanager
    def within(self, phase: RunPhase) -> Iterator[None]:
        """Show that the body works on a phase, unless the run was further already, and measure it."""
        if PHASES.index(phase) > PHASES.index(self.phase):
            self.phase = phase
            self.percent = SCALE[phase][0]
        with self.timed(phase):
            yield

    def columns(self) -> dict[str, Any]:
        """Return what a run's row shows of it."""
        return {"phase": self.phase, "progress": self.percent}

    def at(self, phase: RunPhase, done: int, total: int) -> None:
        """Tell that `done` of `total` of a phase's work is done."""
        low, high = SCALE[phase]
        self.percent = max(self.percent, low + (high - low) * min(done, total) // max(total, 1))


@asynccontextmanager
async def heartbeat(database: Database, run_id: UUID, owner: UUID, progress: Progress) -> AsyncIterator[None]:
    """Beat while the body runs; raises OwnershipLostError in it as soon as the run is not `owner`'s."""
    body = asyncio.current_task()
    assert body is not None
    lost = False

    async def beat() -> None:
        nonlocal lost
        while True:
            try:
                async with database.write() as session:
                    mine = await runs.update_owned(
                        await session.connection(),
                        run_id,
                        owner,
                        heartbeat_at=utc_now(),
                        **progress.columns(),
                    )
                if not mine and not progress.ending:
                    lost = True
                    body.cancel()
                    return
            except (SQLAlchemyError, ServiceUnavailableError) as error:
                # A database that is busy or restarting does not end the run; its own statements tell.
                log.warning("heartbeat_missed", run_id=str(run_id), error=type(error).__name__)
            await asyncio.sleep(BEAT)

    try:
        async with in_background(beat()):
            yield
    except asyncio.CancelledError:
        if not lost:
            raise
        body.uncancel()
        raise OwnershipLostError from None
