"""Signs of life: a child whose event loop does not run any more is noticed and killed.

A stopped process (SIGSTOP, a debugger, a freezer) holds what it holds: its sockets stay open, and nothing
but its death takes SQLite's write lock from it.

The signs go through a pipe that the child inherits. Unlike a file in `DATA_DIR` it has no clock, nothing of
it is left behind by an instance before us, and each child has its own.
"""

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from app.background import in_background
from app.child_process import ChildProcess, start_child
from app.settings import PREFIX

SIGNS_FD = f"{PREFIX}SIGNS_FD"
"""Variable that tells the child the number of its end of the pipe; no setting, and not for an operator."""
SIGN_INTERVAL = 2.0
LOOK_INTERVAL = 1.0
SILENCE_LIMIT = 12.0
"""Seconds of silence after which a child is killed.

Writes have to work again 30 s after the holder of their lock stopped, and a loop that does not run for 10 s
has lost its import lock anyway (`import_lock.TTL`). A busy child is not silent: the loop has a turn after
every batch of rows, and statements and PDFs run elsewhere. Its longest pause while 1,500,000 rows were read
and matched to 300,000 employees was 3 s, on a machine with twice the work that it has cores for. A kill by
mistake costs one attempt of a run.
"""
FIRST_SIGN_LIMIT = 60.0
"""Seconds until the first sign: the start is imports and a look at the schema, slow on a slow machine."""

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def signs_of_life() -> AsyncIterator[None]:
    """Tell the process that started us, if it listens, that this event loop runs while the body does."""
    number = os.environ.pop(SIGNS_FD, None)  # popped: what we start has no such descriptor
    if number is None:
        yield
        return
    with io.FileIO(int(number), "w") as pipe:
        os.set_inheritable(pipe.fileno(), False)
        os.set_blocking(pipe.fileno(), False)
        async with in_background(_sign(pipe)):
            yield


async def _sign(pipe: io.FileIO) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        while True:
            pipe.write(b".")  # a full pipe, that of a listener who is stopped, takes nothing
            await asyncio.sleep(SIGN_INTERVAL)


class WatchedChild(ChildProcess):
    """A child that signs that it lives, and is killed when it falls silent while its end is waited for."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        signs: io.FileIO,
        name: str,
        silence_limit: float,
        first_sign_limit: float,
    ) -> None:
        super().__init__(process)
        self._signs = signs
        self._name = name
        self._silence_limit = silence_limit
        self._limit = first_sign_limit

    async def wait(self) -> int:
        """Return the exit code as for any child; meanwhile one that falls silent is killed."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._kill_when_silent())
            code = await super().wait()
            watching.cancel()
        self._signs.close()
        return code

    async def _kill_when_silent(self) -> None:
        """Kill the child once it gave no sign at so many looks in a row.

        Looks are counted, not seconds on a clock: a machine that was suspended, or so busy that we had no
        turn ourselves, has not heard a silence of that time.
        """
        silence = 0.0
        while silence < self._limit:
            await asyncio.sleep(LOOK_INTERVAL)
            if self._signs.read(1 << 16):  # all that a pipe holds
                silence = 0
                self._limit = self._silence_limit
            else:  # nothing there, or closed by a child that does not end
                silence += LOOK_INTERVAL
        log.error("service_silent", service=self._name, pid=self.pid, seconds=silence)
        self.kill()


async def start_watched(
    name: str,
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    pass_fds: Sequence[int] = (),
    silence_limit: float = SILENCE_LIMIT,
    first_sign_limit: float = FIRST_SIGN_LIMIT,
) -> WatchedChild:
    """Start a child that uses `signs_of_life`; arguments and errors as of `start_child`.

    Args:
        name: the service's, for the log.
        command: program and arguments.
        env: variables set on top of our own.
        pass_fds: further descriptors that it inherits.
        silence_limit: seconds without a sign after which it is killed.
        first_sign_limit: the same before its first sign.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    signs = io.FileIO(reading)
    try:
        child = await start_child(command, env={**env, SIGNS_FD: str(writing)}, pass_fds=[*pass_fds, writing])
    finally:
        os.close(writing)
    return WatchedChild(child.process, signs, name, silence_limit, first_sign_limit)
