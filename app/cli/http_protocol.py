"""A connection to the API: uvicorn's own protocol, with bounds on what a peer may send, and how slowly.

uvicorn leaves these to a proxy. Its parser keeps a header of any size and any number of them, waits for a
request and for the reader of an answer without end, and answers a broken request at once, even while an
earlier one of the same connection has no answer yet, so that its client takes the one for the other.
"""

import asyncio
from asyncio.events import TimerHandle
from collections.abc import Callable
from typing import Any

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app import errors
from app.api.limits import is_stream, overloaded
from app.cli.http_head import MAX_ADDRESS, MAX_HEAD, MAX_HEADERS, check_head, raw_answer
from app.errors import AppError, BadRequestError

PIECE = 4096
"""Bytes that the parser gets at a time, so that it never keeps much more than it may."""
MOST_QUEUED = 64
"""Requests that are read before their turn, when a client sends several at once."""
MAX_HELD = 512 * 1024
"""Bytes kept for later while such requests wait; reading is paused long before."""
HEAD_SECONDS = 10.0
"""For a whole head, from the connection or from the answer before; the rest of a body that nobody waits for
has to come in this time as well."""
STALL_SECONDS = 30.0
"""For a reader to take the 48 KiB between the marks at which a transport waits and goes on."""
ANSWER_SECONDS = 900.0
"""For a whole answer, save a stream of events, which ends by itself."""
LINGER_SECONDS = 2.0
"""For a peer to read why it is refused, while it still sends."""
log = structlog.get_logger()


class _RefusedError(Exception):
    """Ends the parsing of a request; the parser hands it on as an error of its own."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `most` are in one process; `headers` go with the answers that are given here."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        most: int,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._most = most
        self._headers = headers
        self._timers: dict[str, TimerHandle] = {}
        self._running: RequestResponseCycle | None = None
        self._held = bytearray()
        self._without_body = 0
        self._in_head = self._open = False
        self._refusal: AppError | None = None
        self._deaf = False  # nothing that comes is listened to any more
        self.since = 0.0  # when it fell idle, or its reader stalled

    def _arm(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._disarm(name)
        self._timers[name] = self.loop.call_later(seconds, then)

    def _disarm(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()

    def _await_head(self) -> None:
        """Give the peer its time for a request, which no byte of it makes longer."""
        if "head" not in self._timers:
            self.since = self.loop.time()
            self._arm("head", HEAD_SECONDS, self._head_is_late)

    def _head_is_late(self) -> None:
        if self._in_head:
            self._refuse(errors.RequestTimeoutError(f"No request came within {HEAD_SECONDS:g} seconds."))
        else:
            self._close()

    def _close(self) -> None:
        """Close the connection when what is written has gone out, for which there is a limit as well."""
        self._deaf = True
        self.transport.close()
        self._arm("close", STALL_SECONDS, self.transport.abort)

    @property
    def idle(self) -> bool:
        """Tell whether no request is under way."""
        return self._running is None or self._running.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Take a connection; one too many makes room by ending the one that is least missed."""
        super().connection_made(transport)
        self.since = self.loop.time()
        if len(self.connections) > self._most and not self._make_room():
            self._refuse(overloaded())
            return
        self._await_head()

    def _make_room(self) -> bool:
        """End what is idle the longest, else what stalls the longest for its reader; False without either."""
        others = [each for each in self.connections if isinstance(each, BoundedProtocol)]
        candidates = [each for each in others if each.idle and each is not self]
        candidates = candidates or [each for each in others if each.flow.write_paused]
        if not candidates:
            return False
        longest = min(candidates, key=lambda each: each.since)
        self.connections.discard(longest)  # at once: it is told of its end a little later
        longest.transport.abort()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everything go; the request under way hears of it, also when others were queued behind it."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._held.clear()
        self._deaf = True
        self._unset_keepalive_if_required()
        self._leave_running()
        super().connection_lost(exc)

    def _leave_running(self) -> None:
        """Tell the request under way that nobody waits for its answer: what it still sends is dropped."""
        if self._running and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse what came; while requests are queued it is kept, and reading is paused."""
        if self._deaf:
            return
        if self._held or self.pipeline:
            self._hold(data)
        else:
            self._parse(data)

    def _hold(self, data: bytes) -> None:
        self._held += data
        self.flow.pause_reading()
        if len(self._held) > MAX_HELD:
            self._finish()

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        start = 0
        while start < len(data):
            end = start + PIECE
            if not self._open or self._in_head:  # one head at a time
                ending = data.find(b"\r\n\r\n", start, end)
                end = end if ending < 0 else ending + 4
            piece = data[start:end]
            start = end
            if not self._feed(piece):
                return
            if self.pipeline and start < len(data):
                self._hold(data[start:])
                return
        if self.idle and not self._deaf:
            self._await_head()

    def _feed(self, piece: bytes) -> bool:
        """Parse a piece; False when nothing more is to be parsed."""
        self._without_body += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:  # what follows would be another protocol's
            self._finish()
        except httptools.HttpParserError:
            self._refuse(self._refusal or BadRequestError("This is not HTTP/1.1 as RFC 9112 has it."))
        if self._without_body > MAX_HEAD and self._open and not self._deaf:
            self._refuse(errors.HeadersTooLargeError(f"The headers may have up to {MAX_HEAD} bytes."))
        return not self._deaf

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head = self._open = True
        self._without_body = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        super().on_url(url)
        if len(self.url) > MAX_ADDRESS:
            self._stop(errors.AddressTooLongError(f"An address may have up to {MAX_ADDRESS} bytes."))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a body (trailers) are not the request's, and dropped."""
        if self._in_head:
            super().on_header(name, value)
            if len(self.headers) > MAX_HEADERS:
                self._stop(errors.HeadersTooLargeError(f"A request may have up to {MAX_HEADERS} headers."))

    def on_headers_complete(self) -> None:
        """Begin to serve the request, or queue it, if its head can be understood in one way only."""
        version, upgrade = self.parser.get_http_version(), self.parser.should_upgrade()
        if refusal := check_head(self.headers, version, upgrade=upgrade):
            self._stop(refusal)
        if len(self.pipeline) >= MOST_QUEUED:
            self._stop(BadRequestError("Too many requests were sent without waiting for answers."))
        super().on_headers_complete()
        self._in_head = False
        self._disarm("head")

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._without_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._open = False
        super().on_message_complete()

    def _stop(self, refusal: AppError) -> None:
        """Leave the parser, from one of its calls."""
        self._refusal = refusal
        raise _RefusedError

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if not is_stream(cycle.scope):
            self._arm("answer", ANSWER_SECONDS, self.transport.abort)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        self._disarm("answer")
        super().on_response_complete()
        if self.transport.is_closing() or (self._deaf and self.idle):
            self._close()
        elif self._held and not self.pipeline:
            self.loop.call_soon(self._go_on)
        elif self.idle:
            self._await_head()

    def _go_on(self) -> None:
        """Parse what was kept."""
        held, self._held = bytes(self._held), bytearray()
        if held and not self._deaf:
            self._parse(held)

    def pause_writing(self) -> None:
        """Wait for the reader, for a limited time."""
        super().pause_writing()
        self.since = self.loop.time()
        self._arm("stall", STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on writing."""
        self._disarm("stall")
        super().resume_writing()

    def _finish(self) -> None:
        """Answer what has been asked, and close then."""
        self._deaf = True
        self._held.clear()
        if self._running is None or self.idle:
            self._close()
        else:
            last = self.pipeline[0][0] if self.pipeline else self._running
            last.keep_alive = False

    def _refuse(self, refusal: AppError) -> None:
        """Answer a request that goes no further, after those that were asked earlier, and close."""
        log.info("request_refused", problem=refusal.slug)
        in_body = self._open and not self._in_head
        if in_body and self.pipeline:
            self.pipeline.popleft()
        if not self.idle and not (in_body and self._running is self.cycle):
            self._finish()
            return
        answered = (
            in_body and self.cycle.response_started
        )  # a second answer would be taken for the next one's
        self._leave_running()
        self._disarm("head")
        if answered:
            self._close()
            return
        self._deaf = True
        self.transport.write(raw_answer(refusal, [*self.server_state.default_headers, *self._headers]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._arm("close", LINGER_SECONDS, self.transport.abort)
