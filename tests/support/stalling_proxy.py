"""A way to PostgreSQL that can be cut as a network is: nothing arrives any more, and nobody hangs up."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit, urlunsplit


class StallingProxy:
    """Leads to the server at the Unix socket that `url` names; `self.url` is the same database through it."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        (directory,) = parse_qs(self._parts.query)["host"]
        self._socket = Path(directory) / ".s.PGSQL.5432"
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user = self._parts.username
        self.url = urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{port}", query=""))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def stall(self) -> None:
        """Let nothing through, in either direction."""
        self._open.clear()

    def resume(self) -> None:
        """Let everything through that was held up."""
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._socket)
        ways = ((reader, to_server), (from_server, writer))
        self._tasks |= {asyncio.create_task(self._forward(*way)) for way in ways}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):  # either side may hang up
                while chunk := await reader.read(65536):
                    await self._open.wait()
                    writer.write(chunk)
                    await writer.drain()
            await self._open.wait()
        finally:
            writer.transport.abort()
