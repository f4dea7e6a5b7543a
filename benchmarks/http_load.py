"""A client that costs little, so that the server is what is measured: HTTP/1.1 on lasting connections."""

import asyncio
import json
import os
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OK = 200
TICKS = os.sysconf("SC_CLK_TCK")
MOST_OF_A_HEAD = 2**16


@dataclass(frozen=True)
class Target:
    """A server process: its port and id, and a token for it."""

    port: int
    pid: int
    token: str = ""

    def processor_seconds(self) -> float:
        """Return the processor time that the process has had, its own and the system's for it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@dataclass
class Load:
    """What came of one go: seconds of each answer, of all together, and of the server's processor."""

    answers: list[float] = field(default_factory=list)
    seconds: float = 0.0
    processor: float = 0.0

    @property
    def rate(self) -> float:
        """Return answers a second."""
        return len(self.answers) / self.seconds

    def percentile(self, percent: int) -> float:
        """Return a percentile of the answers' milliseconds."""
        found = self.answers
        return 1000 * (statistics.quantiles(found, n=100)[percent - 1] if len(found) > 1 else found[0])


def request(target: Target, method: str, path: str, body: Any = None) -> bytes:
    """Return the bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{target.port}"]
    if target.token:
        lines.append(f"Authorization: Bearer {target.token}")
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def send(target: Target, requests: Iterable[bytes], connections: int, limit: float) -> Load:
    """Send the requests, each when one of the connections is free, for `limit` seconds or until they end.

    Raises RuntimeError when an answer is not 200: a refusal is quick, and would be counted.
    """
    load, waiting = Load(), iter(requests)
    before, began = target.processor_seconds(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_connection(target, waiting, load, began + limit))
    load.seconds = time.perf_counter() - began
    load.processor = target.processor_seconds() - before
    return load


async def _connection(target: Target, waiting: Iterator[bytes], load: Load, until: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=MOST_OF_A_HEAD)
    try:
        while time.perf_counter() < until and (each := next(waiting, None)) is not None:
            began = time.perf_counter()
            writer.write(each)
            status, body = await _answer(reader)
            load.answers.append(time.perf_counter() - began)
            if status != OK:
                raise RuntimeError(f"{status} instead of 200: {body[:500].decode()}")
    finally:
        writer.close()


async def ask(target: Target, content: bytes) -> Any:
    """Send one request, and return what is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=MOST_OF_A_HEAD)
    try:
        writer.write(content)
        status, body = await _answer(reader)
    finally:
        writer.close()
    if status != OK:
        raise RuntimeError(f"{status} instead of 200: {body[:500].decode()}")
    return json.loads(body)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body; both servers tell the length of each body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)
