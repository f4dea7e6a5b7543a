"""One answer for all who ask while it is being made."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

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
