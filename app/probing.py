"""What probes need: one answer for all who ask at a time, and a limit that holds whatever hangs."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class SharedAnswer(Generic[Answer]):
    """Makes an answer once, however many ask meanwhile, so that probes cannot pile up on a slow part.

    `make` has to end by itself: nobody who asks can cancel it for the others.
    """

    def __init__(self, make: Callable[[], Awaitable[Answer]]) -> None:
        self._make = make
        self._making: asyncio.Future[Answer] | None = None

    async def get(self) -> Answer:
        """Return the answer that is being made, or one that is made now."""
        if self._making is None or self._making.done():
            self._making = asyncio.ensure_future(self._make())
        return await asyncio.shield(self._making)


async def within(seconds: float, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Return what `work` comes to; raises TimeoutError on time, also when its cancellation hangs.

    psycopg, when cancelled, asks the server to stop the query, for which it waits 10 s more where the
    network swallows everything. `asyncio.timeout` would wait with it.
    """
    task = asyncio.create_task(work)
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        task.add_done_callback(_take_note)
        task.cancel()
        raise TimeoutError
    return task.result()


def _take_note(task: asyncio.Task[Any]) -> None:
    """Look at what became of work that nobody waits for: it would be logged as forgotten."""
    if not task.cancelled():
        task.exception()
