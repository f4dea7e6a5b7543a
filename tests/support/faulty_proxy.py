"""A way to a server that can be spoiled as a network is: cut, silent, slow, or stalled in mid-way."""

import asyncio
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

CHUNK = 65536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: closing sends RST instead of FIN."""
Target = Path | int
"""A Unix socket, or a port of 127.0.0.1."""


class FaultyProxy:
    """Listens on `port` of 127.0.0.1 and leads to `target`, which may be changed for later connections.

    `delay` holds each answer of the server up for so many seconds; `rate`, if set, is the bytes a second that
    come from it. Its faults hold for all connections, those of before and those to come.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.delay = 0.0
        self.rate: int | None = None
        self.port = 0
        self.reached = asyncio.Event()
        self._limit: int | None = None
        self._cuts = False
        self._refuses = False
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lines: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def stall(self) -> None:
        """Let nothing through, in either direction; nobody hangs up."""
        self._open.clear()

    def stall_after(self, limit: int) -> None:
        """Stall once a connection got `limit` bytes from the server; `reached` is set then."""
        self.reached.clear()
        self._limit, self._cuts = limit, False

    def cut_after(self, limit: int) -> None:
        """Break a connection off once it got `limit` bytes from the server; `reached` is set then."""
        self.reached.clear()
        self._limit, self._cuts = limit, True

    def resume(self) -> None:
        """Let everything through that was held up, and stall no more."""
        self._limit = None
        self._open.set()

    def cut(self) -> None:
        """Reset every connection, and those that come until `mend`."""
        self._refuses = True
        for line in self._lines:
            reset(line)

    def mend(self) -> None:
        """Take connections again, and let them through at once and at any speed."""
        self._refuses = False
        self.delay, self.rate = 0.0, None
        self.resume()

    async def idle(self) -> None:
        """Wait until no connection is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            reset(writer)
            return
        try:
            if isinstance(self.target, Path):
                from_server, to_server = await asyncio.open_unix_connection(self.target)
            else:
                from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # the server is away, so this end hangs up as well
            reset(writer)
            return
        lines = {writer, to_server}
        self._lines |= lines
        for task in (
            asyncio.create_task(self._forward(reader, to_server)),
            asyncio.create_task(self._forward(from_server, writer, answers=True)),
        ):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: self._lines.difference_update(lines))

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        got = 0
        try:
            with suppress(OSError):  # either side may hang up
                while chunk := await reader.read(self._at_once(got) if answers else CHUNK):
                    got += len(chunk)
                    if answers:
                        await asyncio.sleep(self.delay + (1 if self.rate else 0))
                    await self._open.wait()
                    writer.write(chunk)
                    await writer.drain()
                    if answers and self._is_reached(got) and self._cuts:
                        return
            await self._open.wait()
        finally:
            writer.transport.abort()

    def _at_once(self, got: int) -> int:
        """How much of an answer may be read next."""
        left = CHUNK if self._limit is None or self._limit <= got else self._limit - got
        return min(self.rate or CHUNK, left, CHUNK)

    def _is_reached(self, got: int) -> bool:
        if self._limit is None or got < self._limit:
            return False
        self._limit = None
        self.reached.set()
        if not self._cuts:
            self._open.clear()
        return True


class PostgresProxy(FaultyProxy):
    """Leads to the server at the Unix socket that `url` names; `self.url` is the same database through it."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        (directory,) = parse_qs(self._parts.query)["host"]
        super().__init__(Path(directory) / ".s.PGSQL.5432")

    @property
    def url(self) -> str:
        """The URL through this proxy, once it listens."""
        at = f"{self._parts.username}@127.0.0.1:{self.port}"
        return urlunsplit(self._parts._replace(netloc=at, query=""))


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection off, without an orderly end."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0 and connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
