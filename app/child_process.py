"""Child processes that never outlive us and that the terminal's Ctrl-C does not reach."""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import IO

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
"""prctl(2), <sys/prctl.h>."""

# Loaded before any fork: between fork and exec a child should do as little as it can.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies, even by SIGKILL, which no handler sees.

    Called by the child itself or as its `preexec_fn`; survives exec. Linux only: elsewhere it does
    nothing, and a child of a killed parent lives on. The kernel counts the *thread* that forked as the
    parent (prctl(2)), so fork from the main thread or from one that lives as long as the child may.

    Args:
        parent_pid: `os.getpid()` of the parent, taken before the fork.

    Raises:
        OSError: the kernel refuses.
    """
    if _libc is None:
        return
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if os.getppid() != parent_pid:  # it died between the fork and the call above: no signal will come
        os.kill(os.getpid(), signal.SIGKILL)


def forbid_core_dumps() -> None:
    """Have the kernel write no image of this process when it crashes: passwords and keys would be in it.

    The limit is inherited by what we start. A handler that takes dumps through a pipe, as systemd's does,
    ignores it (core(5)), so on Linux the process is made undumpable as well, until an exec. Another process
    of our user cannot attach to it or read its memory and environment then, only root can.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _libc is not None and _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class ChildProcess:
    """A started child: wait for its end, or bring it about."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        """Process id, and the id of the child's process group."""
        return self.process.pid

    async def wait(self) -> int:
        """Return the exit code once it has ended; negative is the signal that ended it."""
        return await self.process.wait()

    def kill(self) -> None:
        """Send SIGKILL to the child and to what it started in its process group."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended this moment: what we want
                os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, limit: float) -> int:
        """Ask it to end (SIGTERM), kill it after `limit` seconds; return the exit code as `wait` does."""
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            self.process.terminate()
        try:
            async with asyncio.timeout(limit):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()


async def start_child(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    inherited: Mapping[str, str] = os.environ,
    output: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> ChildProcess:
    """Start a child in our session but in a process group of its own, which ends when we do.

    Call it from the main thread (see `die_with_parent`).

    Args:
        command: program and arguments.
        env: variables set on top of `inherited`.
        inherited: the environment it starts from, our own when left out.
        output: open file for stdout and stderr; our own when left out.
        pass_fds: further descriptors that it inherits, under the same numbers.

    Raises:
        OSError: the program does not exist or cannot be run.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**inherited, **(env or {})},
        pass_fds=pass_fds,
        process_group=0,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    return ChildProcess(process)
