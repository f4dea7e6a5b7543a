"""The address that `certsync up` serves on: is it free, how is it written, does it answer."""

import asyncio
import errno
import json
import socket
import time

from app.errors import ConfigurationError

ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - recognised, not bound
"""Listening on every interface, and where such a server is met on this machine."""
PROBE_LIMIT = 5.0
"""Seconds for one answer of the health endpoint."""


def free_port(host: str, port: int, patience: float = 0.0) -> int:
    """Return the port if nobody listens on it, so that a taken one is noticed before anything is started.

    Port 0 stands for any free one. `patience` is the seconds to wait for someone to let go of it.

    Raises:
        ConfigurationError: the port is taken or not allowed, or the host is not an address of this machine.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            family, _, _, _, address = socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the API's server does
                probe.bind(address)
                return int(probe.getsockname()[1])
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise ConfigurationError(
                    f"Port {port} on {host} is taken by another program. Choose another one with --port."
                ) from error
            raise ConfigurationError(
                f"Cannot listen on {host}, port {port}: {error.strerror}. Check --host and --port."
            ) from error


def base_url(host: str, port: int) -> str:
    """Return the URL at which this machine meets a server that listens on `host` and `port`."""
    host = ANY_HOST.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def health_status(host: str, port: int) -> str:
    """Return the `status` that `/health/ready` answers, or a phrase on what came in its place."""
    request = f"GET /health/ready HTTP/1.0\r\nHost: {base_url(host, port).removeprefix('http://')}\r\n\r\n"
    try:
        async with asyncio.timeout(PROBE_LIMIT):
            reader, writer = await asyncio.open_connection(ANY_HOST.get(host, host), port)
            try:
                writer.write(request.encode())
                answer = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return "no answer"
    if not answer:
        return "no answer"
    head, _, body = answer.partition(b"\r\n\r\n")
    code = head.decode(errors="replace").split(maxsplit=2)[1:2]
    if code != ["200"]:
        return f"not ready, HTTP {''.join(code)}"
    try:
        return str(json.loads(body)["status"])
    except (ValueError, KeyError, TypeError):
        return "an answer that is not of certsync"
