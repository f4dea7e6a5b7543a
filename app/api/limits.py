"""What keeps a process alive when more is asked of it than it can do: bounds on requests, time and bodies.

Plain ASGI, as `request_log.py`. Who is turned away is told when to come again.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access import unauthorized
from app.api.problems import BodyRefusedError, problem_response
from app.api.router import BASE
from app.api.security_headers import STATIC
from app.errors import AppError, OverloadedError, PayloadTooLargeError, TookTooLongError
from app.logs import trace

MAX_BODY_BYTES = 8 * 1024**2
"""The largest legitimate body, 10,000 employees, is about 4 MB."""
LARGE_BODY_BYTES = 256 * 1024
"""A larger body counts as large: it takes ten times its size of memory, and thirty if it is made for that.

The framework reads a body before it looks at the token, so a large one is only taken in from who has one.
"""
LARGE_BODIES = 4
"""Large bodies that one process takes in at a time."""
ANSWER_LIMIT = 30.0
"""Seconds until an answer has to begin; what is streamed may go on for as long as it needs."""
TRIALS = ("/sftp-connection/test", "/sftp-connection/scan")
"""End of the paths that talk to a state's server, each step within a limit of its own."""
TRIAL_LIMIT = 120.0
RETRY_SECONDS = 2
TOO_LARGE = f"A body may have up to {MAX_BODY_BYTES // 1024**2} MiB. Send it in smaller parts."
UNCOUNTED = ("/health/", "/metrics", f"{STATIC}/")
"""Who watches the service must get through, above all when it has too much to do. The scripts of `/docs` cost
nothing, and who takes them slowly, without a token, must not take places away."""
_STREAM = re.compile(rf"{BASE}/runs/[^/]+/events")

log = structlog.get_logger()


def is_stream(scope: Mapping[str, Any]) -> bool:
    """Tell whether a request is for a stream, whose number has a bound of its own (`RunEvents.check_room`).

    Nothing else may pass for one: an employee's number or a job class may be `events`, too.
    """
    return scope["method"] == "GET" and _STREAM.fullmatch(scope["path"]) is not None


def overloaded() -> OverloadedError:
    """Return the refusal of what is too much at this moment."""
    return OverloadedError(
        "The service has as much to do as it can. Nothing was changed. Try again shortly.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


class RequestLimits:
    """Serves up to `most` requests at a time, each for a limited time; answers 503 to the others.

    A request that is late is given up, but counts until it has really ended: with a database that hangs,
    their number would grow without a bound otherwise.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope.get("path", "")
        if scope["type"] != "http" or path.startswith(UNCOUNTED) or is_stream(scope):
            await self._app(scope, receive, send)
            return
        if len(self._running) >= self._most:
            await problem_response(overloaded(), path)(scope, receive, send)
            return
        limit = TRIAL_LIMIT if path.endswith(TRIALS) else ANSWER_LIMIT
        if not await self._in_time(limit, scope, receive, send):
            late = TookTooLongError(
                f"There was no answer within {limit:g} seconds. Whether it was done is not known.",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
            await problem_response(late, path)(scope, receive, send)

    async def _in_time(self, limit: float, scope: Scope, receive: Receive, send: Send) -> bool:
        """Serve in a task of its own, which can be left alone; False when it is late."""
        began = given_up = False

        async def send_in_time(message: Message) -> None:
            nonlocal began
            if not given_up:
                began = True
                await send(message)

        async def serve() -> None:
            await self._app(scope, receive, send_in_time)

        task = asyncio.create_task(serve())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await asyncio.wait([task], timeout=limit)
            if not began and not task.done():
                given_up = True
                task.add_done_callback(_log_failure)
                task.cancel()
                return False
            await task
        except asyncio.CancelledError:
            task.cancel()
            raise
        return True


def _log_failure(task: asyncio.Task[None]) -> None:
    """Log how a request failed after it was given up: nobody else hears of it."""
    if not task.cancelled() and (error := task.exception()):
        log.error("late_request_failed", **trace(error))


class BodyLimit:
    """Refuses a body over `MAX_BODY_BYTES`, and one too many that is large, as soon as that is known."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        expected = int(announced) if announced.isdecimal() else 0
        if refusal := await self._refusal(scope, expected, large=False):
            await problem_response(refusal, scope["path"])(scope, receive, send)
            return
        received = 0
        large = expected > LARGE_BODY_BYTES
        self._large += large

        async def counted() -> Message:
            nonlocal received, large
            message = await receive()
            received += len(message.get("body", b""))
            if refusal := await self._refusal(scope, received, large=large):
                raise BodyRefusedError(refusal)
            if received > LARGE_BODY_BYTES and not large:
                large = True
                self._large += 1
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._large -= large

    async def _refusal(self, scope: Scope, size: int, *, large: bool) -> AppError | None:
        """Return why a body of this size is not taken; `large` is one that was taken as such."""
        if size > MAX_BODY_BYTES:
            return PayloadTooLargeError(TOO_LARGE)
        if size > LARGE_BODY_BYTES and not large:
            return await _stranger(scope) or (overloaded() if self._large >= LARGE_BODIES else None)
        return None


async def _stranger(scope: Scope) -> AppError | None:
    """Return why nobody is known to send this request; None if its token is one of ours."""
    scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return unauthorized()
    try:
        await scope["app"].state.factory.authentication.caller(token)
    except AppError as error:
        return error
    return None
