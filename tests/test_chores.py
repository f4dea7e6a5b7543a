"""What a worker does every few seconds, when it goes wrong: told in the log, without a word of any row."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from workers import sweep, tick

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
