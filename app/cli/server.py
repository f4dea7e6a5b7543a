"""The HTTP server of the API: one process, or several on one port."""

import asyncio
import contextlib
import socket
import sys
from functools import partial

import uvicorn
from fastapi import FastAPI

from app.api.security_headers import security_headers
from app.cli.http_protocol import BoundedProtocol
from app.garbage import collect_less
from app.local_address import base_url
from app.metrics import counting_together
from app.settings import Settings
from app.supervisor import Service, ServiceFailed, Supervisor, say
from app.watchdog import signs_of_life, start_watched

STOP_SECONDS = 8
"""For open requests when the server stops; `certsync up` kills it after 10."""
STARTUP_FAILURE = 3
"""uvicorn's own exit code for an application or a port that does not start."""
BACKLOG = 2048
"""Connections that wait to be accepted; uvicorn's own figure."""


class Server(uvicorn.Server):
    """Ends the streams of run events when it is told to stop: it would wait for them otherwise."""

    def __init__(self, app: FastAPI, settings: Settings, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                http=partial(  # type: ignore[arg-type] # it is called, and nothing else
                    BoundedProtocol,
                    most=settings.max_connections,
                    headers=security_headers(production=settings.environment == "production"),
                ),
                ws="none",
                server_header=False,
                reset_contextvars=True,  # what one request of a connection has set is not for the next
                forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and search for garbage among what comes from now on: all requests wait for a search."""
        await super().startup(sockets)
        collect_less()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, without cutting requests that end soon."""
        self._app.state.factory.run_events.close()
        await super().shutdown(sockets)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop; whoever started us sees that we live."""
        async with signs_of_life():
            await super().serve(sockets)


def run_server(app: FastAPI, settings: Settings, host: str, port: int, inherited: int | None = None) -> None:
    """Serve until SIGINT or SIGTERM; exits with `STARTUP_FAILURE` when it could not begin.

    `inherited` is the number of a socket that listens already, instead of host and port.
    """
    server = Server(app, settings, host, port)
    with contextlib.suppress(KeyboardInterrupt):  # it has stopped in order and raises the signal once more
        server.run([socket.socket(fileno=inherited)] if inherited is not None else None)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def run_servers(host: str, port: int, processes: int) -> int:
    """Serve with so many processes on one port until SIGINT, SIGTERM or SIGHUP; return the exit code.

    One that dies, or whose event loop hangs, is started again; the others go on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        sys.stderr.write(f"certsync serve: {host} port {port} cannot be used: {error.strerror}\n")
        return STARTUP_FAILURE
    with listening:
        number = listening.fileno()
        command = (sys.executable, "-m", "app.cli", "serve", "--socket", str(number))
        services = [
            Service(
                f"api-{one}", partial(start_watched, "api", command, env={}, pass_fds=[number]), restarts=4
            )
            for one in range(1, processes + 1)
        ]
        at = base_url(host, listening.getsockname()[1])
        try:
            with counting_together():
                asyncio.run(
                    Supervisor(services, at_once=True).run(
                        until_ready=_at_once, announce=lambda: say(f"{processes} processes serve {at}")
                    )
                )
        except ServiceFailed as error:
            sys.stderr.write(f"certsync serve: {error}\n")
            return 1
    return 0


async def _at_once() -> None:
    """Wait for nothing: a probe asks each process itself."""
