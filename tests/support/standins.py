"""Small programs that stand for the API and the worker under a real supervisor and a real Redis.

`python -m tests.support.standins up PORT` runs the supervisor. Each program appends lines to
`events.txt` in `CERTSYNC_DATA_DIR`. `STANDIN_WORKER` is how the worker behaves: `good`, `stubborn` (does
not end on SIGTERM) or `broken` (ends at once).
"""

import os
import signal
import sys
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from app.supervisor import Service


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


def worker() -> None:
    mode = os.environ.get("STANDIN_WORKER", "good")
    signal.signal(signal.SIGTERM, partial(end, "worker") if mode == "good" else signal.SIG_IGN)
    record(f"worker {os.getpid()}")
    while mode != "broken":
        signal.pause()
    sys.exit(3)


def stand_ins(_host: str, port: int, env: Mapping[str, str]) -> "list[Service]":
    from app.child_process import start_child
    from app.supervisor import Service

    command = (sys.executable, "-m", "tests.support.standins")
    start_worker = partial(start_child, (*command, "worker"), env=env)
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
            worker()
