"""Looking at processes from outside: who lives, who is whose child, and waiting for it to change."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from inspect import isawaitable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie that nobody has reaped yet does not."""
    try:
        os.kill(pid, 0)
        return sys.platform != "linux" or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def children_of(pid: int) -> set[int]:
    """Return the ids of a process's children."""
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def command_of(pid: int) -> list[bytes]:
    """Return the words of a process's command line; none for one that has ended, which may be at any time."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except (ProcessLookupError, FileNotFoundError):
        return []


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that still is."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def until(condition: Callable[[], Any], limit: float = 20.0, *, every: float = 0.02, what: str = "it") -> Any:
    """Wait until `condition` is true and return what it gave; fail with `what` after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: still not so after {limit} s"
        time.sleep(every)
    return found


async def until_async(
    condition: Callable[[], Any | Awaitable[Any]], limit: float | None = 20.0, *, every: float = 0.02
) -> Any:
    """As `until`, with the event loop running meanwhile; `condition` may be asynchronous itself."""
    async with asyncio.timeout(limit):
        while True:
            found = condition()
            if isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(every)
