"""API and worker processes as a process manager runs them: each is started again when it ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.child_process import ChildProcess, start_child

RESTART_SECONDS = 1.0
STOP_SECONDS = 30.0


class ManagedProcess:
    """`certsync` with some arguments, with a log of its own; `starts` counts how often it was started."""

    def __init__(self, name: str, arguments: tuple[str, ...], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self.may_start = asyncio.Event()
        self.may_start.set()
        self._command = (sys.executable, "-m", "app.cli", *arguments)
        self._env = env
        self._child: ChildProcess | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._read = 0

    async def start(self) -> None:
        """Start it, and from now on again whenever it ends."""
        await self._start()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End it for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        if self._child is not None:
            self.signal(signal.SIGCONT)
            await self._child.stop(STOP_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; what it forked dies with it, if it does."""
        assert self._child is not None
        with suppress(ProcessLookupError):
            os.kill(self._child.pid, number)

    def events(self) -> list[dict[str, Any]]:
        """What it logged; after a kill the last line may be half a one."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def new_text(self) -> str:
        """What it logged since it was last asked."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            found = file.read()
        self._read += len(found)
        return found.decode(errors="replace")

    async def _start(self) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("CERTSYNC_")}
        with self.log.open("ab") as output:
            self._child = await start_child(self._command, env=self._env, inherited=inherited, output=output)
        self.starts += 1

    async def _keep(self) -> None:
        while True:
            assert self._child is not None
            await self._child.wait()
            await asyncio.sleep(RESTART_SECONDS)
            await self.may_start.wait()
            await self._start()
