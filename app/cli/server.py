"""The HTTP server of the API."""

import contextlib
import socket
import sys

import uvicorn
from fastapi import FastAPI

STOP_SECONDS = 8
"""For open requests when the server stops; `certsync up` kills it after 10."""
STARTUP_FAILURE = 3
"""uvicorn's own exit code for an application or a port that does not start."""


class Server(uvicorn.Server):
    """Ends the streams of run events when it is told to stop: it would wait for them otherwise."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, without cutting requests that end soon."""
        self._app.state.factory.run_events.close()
        await super().shutdown(sockets)


def run_server(app: FastAPI, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; exits with `STARTUP_FAILURE` when it could not begin."""
    server = Server(app, host, port)
    with contextlib.suppress(KeyboardInterrupt):  # it has stopped in order and raises the signal once more
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)
