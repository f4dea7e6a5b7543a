"""What a worker does every few seconds: bounded, and told of without a word of any row when it goes wrong."""

import asyncio
from datetime import time
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from app.database import CONNECTIONS, CONNECTIONS_OF_A_RUN
from app.factory import Factory
from app.models.base import utc_now
from app.services import schedule
from app.services.schedule import is_due
from app.settings import Settings
from tests.support.schedules import at, clock, create, task_now
from workers import sweep, tick
from workers.settings import CHORE_SLOTS, connections

SECRET = chr(0x2603) * 3  # not as source code quotes it


class Broken:
    """Parts of which none works; the message of each failure quotes something."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError(SECRET)


@pytest.mark.parametrize(("chore", "event"), [(tick.tick, "tick_failed"), (sweep.sweep, "sweep_failed")])
async def test_a_chore_that_fails_is_logged_without_its_message(
    chore: Any, event: str, logs: list[Any]
) -> None:
    await chore({"factory": Broken()})
    (line,) = logs
    assert (line["event"], line["error"], line["log_level"]) == (event, "LookupError", "error")
    assert SECRET not in str(logs)


@pytest.mark.parametrize("runs", [1, 2, 9, 16])
def test_no_run_waits_for_a_connection(runs: int) -> None:
    """As many as all of them and the chores use at once; never fewer than a process has anyway."""
    total = sum(connections(Settings(runs_per_worker=runs)))
    assert total >= max(sum(CONNECTIONS), CHORE_SLOTS + CONNECTIONS_OF_A_RUN * runs)


@pytest.mark.parametrize("chore", [tick.tick, sweep.sweep])
async def test_a_chore_can_be_stopped(chore: Any) -> None:
    async def wait(*_: object) -> None:
        await asyncio.Event().wait()

    class Waiting:
        async def __aenter__(self) -> None:
            await asyncio.Event().wait()

        async def __aexit__(self, *_: object) -> None:
            pass

    factory = SimpleNamespace(schedule=SimpleNamespace(tick=wait), database=SimpleNamespace(write=Waiting))
    running = asyncio.create_task(chore({"factory": factory}))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_redis_is_asked_once_while_it_is_away(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def refuse(run_id: UUID, nudge: str) -> bool:
        asked.append((run_id, nudge))
        return False

    monkeypatch.setattr(factory.queue, "enqueue_run", refuse)
    with clock("2026-06-01T12:30") as moved:
        made = [await create(factory) for _ in range(3)]
        moved.move_to(at("2026-06-02T07:00"))
        await tick.tick({"factory": factory})
        assert len(asked) == 1
        assert not any([is_due(await task_now(factory, task), utc_now()) for task in made])


async def test_a_look_that_takes_long_leaves_the_rest_to_the_next(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "LOOK", 0.0)
    with clock("2026-06-01T12:30") as moved:
        made = [await create(factory, time=time(2, minute)) for minute in (20, 10, 30)]
        moved.move_to(at("2026-06-02T07:00"))
        left = []
        for _ in range(4):
            due = [task for task in made if is_due(await task_now(factory, task), utc_now())]
            left.append([task.time.minute for task in due if task.time])
            await tick.tick({"factory": factory})
    assert left == [[20, 10, 30], [20, 30], [30], []], "what is due longest comes first"
