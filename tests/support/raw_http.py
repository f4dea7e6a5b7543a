"""HTTP as bytes on a socket: what no client library would send, and every answer that comes back."""

import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

LIMIT = 20.0
"""Seconds after which a server that neither answers nor closes fails a test."""


@dataclass
class Answer:
    """One answer; names of headers are in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str:
        (value,) = [value for each, value in self.headers if each == name]
        return value


class Raw:
    """A connection."""

    def __init__(self, port: int, *, small: bool = False) -> None:
        self.socket = socket.socket()
        if small:  # so that the server notices soon that nobody reads
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(LIMIT)
        self.socket.connect(("127.0.0.1", port))
        self._got = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes | str) -> Self:
        """Send; a server that has closed already is one whose answer is looked at."""
        with suppress(OSError):
            self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def ended(self) -> bool:
        """Tell whether the server has closed, without taking anything."""
        self.socket.settimeout(0)
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        finally:
            self.socket.settimeout(LIMIT)

    def rest(self) -> bytes:
        """Return what comes until the server closes; a reset is an end as well."""
        while True:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return self._got
            self._got += more

    def answers(self) -> list[Answer]:
        """Return every answer until the server closes."""
        data, found = self.rest(), []
        while data:
            answer, data = parse(data)
            found.append(answer)
        return found

    def answer_begins(self) -> None:
        """Wait for the first byte of an answer."""
        self._got += self.socket.recv(1)

    def answer(self) -> Answer:
        """Return the next answer."""
        while True:
            try:
                found, self._got = parse(self._got)
            except (ValueError, IndexError):
                more = self.socket.recv(65536)
                assert more, f"closed after {self._got!r}"
                self._got += more
            else:
                return found


def parse(data: bytes) -> tuple[Answer, bytes]:
    """Return the first answer and what follows it; raises ValueError if it is not all there."""
    head, rest = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status = first.split(" ")[:2]
    assert version == "HTTP/1.1", first
    pairs = [line.split(": ", 1) for line in lines]
    answer = Answer(int(status), [(name.lower(), value) for name, value in pairs], b"")
    fields = dict(answer.headers)
    if fields.get("transfer-encoding") == "chunked":
        while True:
            size, rest = rest.split(b"\r\n", 1)
            length = int(size, 16)
            answer.body += rest[:length]
            if len(rest) < length + 2:
                raise ValueError
            rest = rest[length + 2 :]
            if not length:
                return answer, rest
    length = int(fields.get("content-length", 0))
    if len(rest) < length:
        raise ValueError
    answer.body = rest[:length]
    return answer, rest[length:]
