"""The address of `certsync up`: whether it is free, how it is written, what answers there."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from app.errors import ConfigurationError
from app.local_address import base_url, free_port, health_status


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_port_zero_is_any_free_one() -> None:
    port = free_port("127.0.0.1", 0)
    assert port > 0
    assert free_port("127.0.0.1", port) == port


def test_taken_port_is_refused_on_every_interface(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    for host in ("127.0.0.1", "localhost", "0.0.0.0"):
        with pytest.raises(ConfigurationError, match=rf"Port {port} .* --port"):
            free_port(host, port)


def test_port_that_is_given_up_within_the_patience_is_taken(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    timer = threading.Timer(0.2, listener.close)
    timer.start()
    assert free_port("127.0.0.1", port, patience=10) == port
    timer.join()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_foreign_host_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="--host"):
        free_port(host, 0)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("erp.example", "http://erp.example:80"),
    ],
)
def test_base_url(host: str, url: str) -> None:
    assert base_url(host, 80) == url


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n{"status": "degraded"}', "degraded"),
        (b'HTTP/1.1 503 Service Unavailable\r\n\r\n{"status": "down"}', "not ready, HTTP 503"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "an answer that is not of certsync"),
        (b"", "no answer"),
    ],
)
async def test_health_status(answer: bytes, status: str) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        assert await health_status("0.0.0.0", server.sockets[0].getsockname()[1]) == status
