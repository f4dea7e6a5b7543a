"""Security events go to a syslog server as they happen; nobody waits for it."""

import asyncio
import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app import syslog
from app.errors import ConfigurationError
from app.settings import Settings
from app.syslog import SyslogSender
from tests.support.api import running_api
from tests.support.openssh import free_port
from tests.support.processes import until

RECORD: dict[str, Any] = {
    "at": "2026-11-22T07:30:00.000Z",
    "action": "run",
    "outcome": "failure",
    "process": "worker1/42",
}


class Receiver:
    """A syslog server: of datagrams, or of octet-counted lines over a stream."""

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[str] = []
        self.connections: list[socket.socket] = []
        self._listening, self._tls = listening, tls
        stream = listening.type == socket.SOCK_STREAM
        threading.Thread(target=self._accept if stream else self._datagrams, daemon=True).start()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(text[text.index("{") :]) for text in self.received]

    def _datagrams(self) -> None:
        while data := self._read(lambda: self._listening.recv(65535)):
            self.received.append(data.decode())

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._listening.accept()
            except OSError:
                return
            if self._tls:
                try:
                    opened = self._tls.wrap_socket(opened, server_side=True)
                except ssl.SSLError:  # the other side does not trust us
                    opened.close()
                    continue
            self.connections.append(opened)
            threading.Thread(target=self._stream, args=[opened], daemon=True).start()

    def _stream(self, opened: socket.socket) -> None:
        buffer = b""
        while data := self._read(lambda: opened.recv(65535)):
            buffer += data
            while b" " in buffer:
                length, _, rest = buffer.partition(b" ")
                if len(rest) < int(length):
                    break
                self.received.append(rest[: int(length)].decode())
                buffer = rest[int(length) :]

    def _read(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except OSError:
            return b""


@contextmanager
def receiving(listening: socket.socket, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(listening, tls)
    with listening:
        yield receiver
        for opened in receiver.connections:
            opened.close()


def certificate(directory: Path) -> ssl.SSLContext:
    """Make a certificate of 127.0.0.1, its own authority, as `cert.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "syslog")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "cert.pem").write_bytes(made.public_bytes(pem))
    plain = serialization.NoEncryption()
    (directory / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


@pytest.fixture
def sender() -> Iterator[Callable[[str], SyslogSender]]:
    """Makes senders that end with the test."""
    made: list[SyslogSender] = []

    def make(address: str) -> SyslogSender:
        made.append(SyslogSender(address))
        return made[-1]

    yield make
    for each in made:
        each.close()


Sender = Callable[[str], SyslogSender]


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls", "unix"])
def test_each_way(kind: str, tmp_path: Path, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = None
    if kind == "unix":
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listening.bind(str(tmp_path / "log"))
        address = f"unix://{tmp_path}/log"
    else:
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        listening.bind(("127.0.0.1", 0))
        address = f"{kind}://127.0.0.1:{listening.getsockname()[1]}"
        if kind != "udp":
            listening.listen()
    if kind == "tls":
        tls = certificate(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with receiving(listening, tls) as receiver:
        sending = sender(address)
        for number in range(3):
            sending.send(RECORD | {"number": number, "text": "two\nlines"})
        until(lambda: len(receiver.received) == 3, what="the lines")
        assert [message["number"] for message in receiver.messages] == [0, 1, 2]
        for text in receiver.received:
            assert text.startswith("<84>1 2026-11-22T07:30:00.000Z worker1 certsync 42 run - {")
        assert len(receiver.connections) == (kind in {"tcp", "tls"})
        sending.close()
    assert sending.lost == 0


def test_a_certificate_of_nobody_known_gets_nothing(
    tmp_path: Path, sender: Sender, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "PAUSES", (0.01,))
    listening = socket.create_server(("127.0.0.1", 0))
    with receiving(listening, certificate(tmp_path)) as receiver:
        sender(f"tls://127.0.0.1:{listening.getsockname()[1]}").send(RECORD)
        until(lambda: any(log.get("error") == "SSLCertVerificationError" for log in logs), what="the refusal")
        assert receiver.received == []


def test_what_waits_is_sent_when_the_server_is_back(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "PAUSES", (0.01,))
    port = free_port()
    sending = sender(f"tcp://127.0.0.1:{port}")
    sending.send(RECORD | {"number": 0})
    with receiving(socket.create_server(("127.0.0.1", port))) as receiver:
        until(lambda: len(receiver.received) == 1, what="the line that waited")
        receiver.connections[0].shutdown(socket.SHUT_RDWR)
        sending.send(RECORD | {"number": 1})
        until(lambda: len(receiver.received) == 2, what="a line over another connection")
    assert sending.lost == 0


def test_what_does_not_fit_is_counted_and_nobody_waits(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "WAITING", 5)
    sending = sender(f"tcp://127.0.0.1:{free_port()}")
    with structlog.testing.capture_logs() as logs:
        for number in range(20):
            sending.send(RECORD | {"number": number})
    assert 14 <= sending.lost <= 15, "the thread holds one at most"
    assert {"event": "syslog_lost", "number": 1, "total": 14, "log_level": "warning"} in logs
    sending.close()
    assert sending.lost == 20


@pytest.mark.parametrize("address", ["syslog.example", "http://host", "udp://", "tcp://host:none", "unix://"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="CERTSYNC_SYSLOG_ADDRESS"):
        SyslogSender(address)


async def test_an_attempt_is_told_when_it_is_stored(settings: Settings) -> None:
    with receiving(socket.create_server(("127.0.0.1", 0))) as receiver:
        port = receiver._listening.getsockname()[1]
        changed = settings.model_copy(update={"syslog_address": f"tcp://127.0.0.1:{port}"})
        async with running_api(changed) as api:
            await api.call("POST", "/sftp-connection/scan", {"host": "127.0.0.1", "port": 1})
            (event,) = (await api.get("/connection-events")).json()["items"]
        await asyncio.to_thread(until, lambda: len(receiver.received) == 1, what="the event")
        (told,) = receiver.messages
    assert (told["id"], told["district"], told["by"]) == (event["id"], "here", "kmarsh")
    assert (told["action"], told["host"], told["port"]) == ("scan", "127.0.0.1", 1)
    assert told["failure_code"] == "sftp_unreachable"
