"""Small programs that stand for the API and the worker under a real supervisor and a real Redis.

`python -m tests.support.standins up PORT` runs the supervisor. Each program appends lines to
`events.txt` in `CERTSYNC_DATA_DIR`. `STANDIN_WORKER` is how the worker behaves: `good`, `stubborn` (does
not end on SIGTERM), `broken` (ends at once), `slow` (says late that it lives), `stuck` (its event loop
stops after the first sign), or `holding` (stops itself while it holds the guard of `DISTRICT`, on SQLite the
write lock).
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from app.supervisor import Service

DISTRICT = "standin"
SILENCE_LIMIT = 5
"""Seconds that the supervisor lets the worker be silent; a sign of life is due every two."""
LATE = 7
"""Seconds until the first sign of a worker that is slow."""


def record(line: str) -> None:
    path = Path(os.environ["CERTSYNC_DATA_DIR"]) / "events.txt"
    with path.open("a", encoding="utf-8") as file:  # one short append: lines of two programs do not mix
        file.write(f"{line}\n")


def end(name: str, _signal: int, _frame: FrameType | None) -> None:
    answers = redis.Redis.from_url(os.environ["CERTSYNC_REDIS_URL"]).ping()
    record(f"{name} ends, Redis answers: {answers}")
    os._exit(0)


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ready"}')

    def log_message(self, *_: object) -> None:
        """Keep the terminal for what the supervisor says."""


def api(port: int) -> None:
    signal.signal(signal.SIGTERM, partial(end, "api"))
    record(f"api {os.getpid()}")
    HTTPServer(("127.0.0.1", port), Ready).serve_forever()


async def worker() -> None:
    from app.watchdog import signs_of_life

    mode = os.environ.get("STANDIN_WORKER", "good")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "stubborn" else partial(end, "worker"))
    record(f"worker {os.getpid()}")
    match mode:
        case "broken":
            sys.exit(3)
        case "slow":
            time.sleep(LATE)  # noqa: ASYNC251 - as imports do
    async with signs_of_life():
        await asyncio.sleep(0)  # the first sign
        record(f"signs {os.getpid()}")
        match mode:
            case "stuck":
                signal.pause()
            case "holding":
                await hold()
        await asyncio.Event().wait()


async def hold() -> None:
    from app.database import Database, take_guard
    from app.settings import Settings

    async with Database(Settings()).write() as session:
        connection = await session.connection()
        await take_guard(connection, DISTRICT, shared=False)
        record(f"holds {os.getpid()}")
        os.kill(os.getpid(), signal.SIGSTOP)


def stand_ins(_host: str, port: int, env: Mapping[str, str]) -> "list[Service]":
    from app.child_process import start_child
    from app.supervisor import Service
    from app.watchdog import start_watched

    command = (sys.executable, "-m", "tests.support.standins")
    start_worker = partial(
        start_watched, "worker", (*command, "worker"), env=env, silence_limit=SILENCE_LIMIT
    )
    return [
        Service("api", partial(start_child, (*command, "api", str(port)), env=env)),
        Service("worker", start_worker, stop_limit=30, restarts=3, restart_delay=0.01),
    ]


def up(port: int) -> int:
    from app.settings import Settings
    from app.supervisor import run_up

    return run_up(Settings(), "127.0.0.1", port, lambda _settings: record("migrate"), stand_ins)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["up", port]:
            sys.exit(up(int(port)))
        case ["api", port]:
            api(int(port))
        case ["worker"]:
            asyncio.run(worker())
