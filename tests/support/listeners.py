"""What else hears or shows what a service does: Redis, and the machine's list of processes."""

import socket
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.support.openssh import free_port
from tests.support.processes import until

SECONDS = 60


class CommandLines(threading.Thread):
    """Looks at the command line of every process of this machine, again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    self.seen.add(path.read_bytes())

    def stop(self) -> bytes:
        self._done.set()
        self.join()
        return b"\n".join(self.seen)


class RedisCommands(threading.Thread):
    """Keeps every command that a Redis is given, by its own MONITOR."""

    def __init__(self, connection: socket.socket, password: str | None) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self.heard = b""
        if password:
            self._connection.sendall(
                b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n" % (len(password), password.encode())
            )
        self._connection.sendall(b"MONITOR\r\n")

    def run(self) -> None:
        while data := self._connection.recv(1 << 16):
            self.heard += data

    def stop(self) -> bytes:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self.join()
        self._connection.close()
        return self.heard


def redis_server(binary: Path, directory: Path, password: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a Redis with a password, which its configuration has, and a file of all that it was told."""
    directory.mkdir()
    port = free_port()
    lines: Mapping[str, object] = {
        "port": port, "bind": "127.0.0.1", "requirepass": f'"{password}"', "appendonly": "yes",
        "dir": directory, "save": '""', "appendfsync": "always",
    }  # fmt: skip
    (directory / "redis.conf").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    process = subprocess.Popen(
        [binary, directory / "redis.conf"],
        env={"LC_ALL": "C"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return False

    until(answers, SECONDS, what="Redis answers")
    return process, port
