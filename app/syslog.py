"""Sends security events to a syslog server as they happen (RFC 5424), without ever making anybody wait.

Events go through a queue to a thread. While the server is away the queue fills, and what does not fit is lost
there and counted; the database has every event all the same.
"""

import json
import queue
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog

from app.errors import ConfigurationError

FACILITY = 10
"""authpriv (RFC 5424, section 6.2.1): for what not everybody may read."""
WARNING, NOTICE = 4, 5
LONGEST = 8192
"""Bytes of a line, which common servers take (rsyslog: 8 KiB)."""
SHORTER = (500, 100, 20)
"""Characters of each text in a line that would be longer; it has lost its lists of algorithms before."""
WAITING = 10_000
"""Events that wait for the server at most."""
TIMEOUT = 5.0
"""Seconds to connect, and to send one event."""
PAUSES = (0.5, 1, 2, 5, 10, 30)
"""Seconds between tries while the server is away; the last one for ever."""
FLUSH = 3.0
"""Seconds that a process which ends gives what waits."""
PORTS = {"udp": 514, "tcp": 601, "tls": 6514}
"""Of RFC 5426, RFC 6587 (as IANA assigned it) and RFC 5425."""
STREAMS = {"tcp", "tls"}

log = structlog.get_logger()


def line(record: Mapping[str, Any]) -> str:
    """Return an event as one line of RFC 5424, its content as JSON in the message.

    `record` has `at`, `action`, `outcome` and maybe `process` (host/pid) among other JSON values.
    """
    severity = WARNING if record["outcome"] == "failure" else NOTICE
    host, _, pid = (record.get("process") or "").rpartition("/")
    head = (
        f"<{FACILITY * 8 + severity}>1 {record['at']} {host or '-'} certsync {pid or '-'} "
        f"{record['action']} - "
    )
    text = json.dumps(record)
    for most in SHORTER:
        if len(head) + len(text) <= LONGEST:
            break
        text = json.dumps(_shortened(record, most))
    return head + text


def _shortened(record: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Return a record without its lists, and with `most` characters of each text."""
    kept = {name: value for name, value in record.items() if not isinstance(value, list)}
    texts = {name: value[:most] for name, value in kept.items() if isinstance(value, str)}
    return {**kept, **texts, "shortened": True}


class SyslogSender:
    """Sends to `address`: udp://host:514, tcp://host:601, tls://host:6514 or unix:///dev/log.

    Over TLS the server's certificate is checked against the system's authorities (`SSL_CERT_FILE`). Raises
    ConfigurationError for another address.
    """

    def __init__(self, address: str) -> None:
        self._kind, self._place = _parse(address)
        self._queue: queue.Queue[Mapping[str, Any] | None] = queue.Queue(WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._closing = threading.Event()
        self.lost = 0

    def send(self, record: Mapping[str, Any]) -> None:
        """Leave an event to the thread; returns at once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="syslog", daemon=True)
                self._thread.start()
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._lose(1)

    def close(self) -> None:
        """Send what waits, for a moment, and end."""
        self._closing.set()
        if self._thread is not None:
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                log.debug("syslog_full")  # the thread looks at `_closing` between tries
            self._thread.join(FLUSH)
        if left := self._queue.qsize():
            self._lose(left)

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            data = line(record).encode()
            tries = 0
            while not self._sent(data):
                if self._closing.wait(PAUSES[min(tries, len(PAUSES) - 1)]):
                    self._lose(1)
                    break
                tries += 1
        if self._socket is not None:
            self._socket.close()

    def _sent(self, data: bytes) -> bool:
        try:
            if self._socket is None or self._gone(self._socket):
                self._socket = self._connect()
            # Octet counting (RFC 6587, section 3.4.1; RFC 5425, section 4.3): a line may have any character.
            self._socket.sendall(b"%d %s" % (len(data), data) if self._kind in STREAMS else data)
        except (OSError, ValueError) as error:  # the second: a name that cannot be one
            log.warning("syslog_unreachable", error=type(error).__name__)
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            return False
        return True

    def _gone(self, opened: socket.socket) -> bool:
        """Tell whether the server has ended the connection, which a write alone would learn too late."""
        if self._kind not in STREAMS:
            return False
        opened.setblocking(False)
        try:
            ended = opened.recv(LONGEST) == b""
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            opened.settimeout(TIMEOUT)
        if ended:
            opened.close()
        return ended

    def _connect(self) -> socket.socket:
        if self._kind == "unix":
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            opened.settimeout(TIMEOUT)
            opened.connect(self._place)
            return opened
        if self._kind == "udp":
            host, port = self._place
            family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            opened = socket.socket(family, kind)
            opened.connect(place)
            return opened
        opened = socket.create_connection(self._place, TIMEOUT)
        if self._kind == "tls":
            opened = ssl.create_default_context().wrap_socket(opened, server_hostname=self._place[0])
        return opened

    def _lose(self, number: int) -> None:
        self.lost += number
        log.warning("syslog_lost", number=number, total=self.lost)


def _parse(address: str) -> tuple[str, Any]:
    parts = urlsplit(address)
    try:
        if parts.scheme == "unix" and parts.path:
            return "unix", parts.path
        if parts.scheme in PORTS and parts.hostname:
            return parts.scheme, (parts.hostname, parts.port or PORTS[parts.scheme])
    except ValueError:
        log.debug("syslog_port")  # told below, with all else that can be wrong
    raise ConfigurationError(
        "CERTSYNC_SYSLOG_ADDRESS cannot be read; give udp://host:514, tcp://host:601, tls://host:6514 or "
        "unix:///dev/log"
    )
