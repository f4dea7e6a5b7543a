"""Work that goes on beside other work and must end with it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

CANCEL_AGAIN = 1.0
"""Seconds after which work that did not end is cancelled once more."""


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` while the body runs, and end it for certain before going on.

    One cancellation is not enough: until Python 3.12 `asyncio.wait_for`, through which redis-py and psycopg
    wait, loses one that comes together with its result (https://github.com/python/cpython/issues/86296).
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_AGAIN)
