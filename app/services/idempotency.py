"""A POST with an `Idempotency-Key` takes effect once; sent again, it gets the first answer again.

The key is taken and its answer stored in the transaction of the effect, so that neither can be there
without the other, whatever dies. A refusal rolls both back: a refused request may be sent again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.database import Database
from app.errors import IdempotencyKeyReusedError
from app.models.base import utc_now
from app.storage import idempotency_keys
from app.storage.idempotency_keys import KeyedRequest

KEPT = timedelta(hours=24)
"""How long a key is honoured; api.md, Conventions."""

log = structlog.get_logger()


@dataclass(frozen=True)
class StoredAnswer:
    """What a request was answered: `headers` are those that the handler set, `body` is JSON."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


class AnswerRepeated(Exception):  # noqa: N818 - nothing went wrong: it ends a transaction that must not go on
    """The request took effect before; `answer` is what it was answered then."""

    def __init__(self, answer: StoredAnswer) -> None:
        super().__init__("the request was answered before")
        self.answer = answer


class Once:
    """Makes one request take effect once; without a request, because no key was sent, it does nothing.

    `answer` turns what the use case results in into what the caller is answered.
    """

    def __init__(
        self, request: KeyedRequest | None = None, answer: Callable[[Any], StoredAnswer] | None = None
    ) -> None:
        self._request = request
        self._answer = answer

    async def begin(self, session: AsyncSession) -> None:
        """Take the key, as the first statement of the transaction of the effect; `end` is its last.

        A twin of the request is waited for. Raises AnswerRepeated when the request took effect before,
        IdempotencyKeyReusedError when another one did under its key.
        """
        if self._request is None:
            return
        connection, now = await session.connection(), utc_now()
        if not await idempotency_keys.claim(connection, self._request, now, now - KEPT):
            await self._repeat(connection, self._request, now)

    async def end(self, session: AsyncSession, result: object) -> None:
        """Store what the effect is answered with."""
        if self._request is None or self._answer is None:
            return
        answer = self._answer(result)
        await idempotency_keys.keep(
            await session.connection(), self._request, answer.status, answer.headers, answer.body
        )

    async def recall(self, database: Database) -> None:
        """Raise as `begin` does, but take nothing: for what is too slow for a transaction."""
        if self._request is None:
            return
        async with database.read() as session:
            await self._repeat(await session.connection(), self._request, utc_now())

    async def remember(self, database: Database, result: object) -> None:
        """Take the key and store the answer after something slow; raises AnswerRepeated if a twin was first.

        Raises IdempotencyKeyReusedError as `begin` does.
        """
        if self._request is None:
            return
        async with database.write() as session:
            await self.begin(session)
            await self.end(session, result)

    async def _repeat(self, connection: AsyncConnection, request: KeyedRequest, now: datetime) -> None:
        known = await idempotency_keys.find(connection, request, now - KEPT)
        if known is None:
            return
        if known.request_hash != request.hash:
            raise IdempotencyKeyReusedError(
                "This Idempotency-Key was sent with another request before. Send a new key with this one."
            )
        log.info("answer_repeated")
        raise AnswerRepeated(StoredAnswer(known.status, known.headers, known.body))


NO_KEY = Once()
"""For a request without a key."""
