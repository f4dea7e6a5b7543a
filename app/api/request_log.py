"""What stands before every request: its id, its line in the log, and an answer for what nobody caught.

Plain ASGI: the classes of the framework's own middleware would copy each body and break streams.
"""

import logging
import re
import time
from collections.abc import MutableMapping
from typing import Any
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response, server_problem

BAD_REQUEST = 400
PROBES = frozenset({"/health/live", "/health/ready", "/metrics"})
"""What machines ask every few seconds: logged when it fails, and never traced."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger()


def is_probe(scope: MutableMapping[str, Any]) -> bool:
    """Tell whether a request is one of those that watch the service."""
    return scope.get("path") in PROBES


class RequestLog:
    """Gives each request an id, logs it when it ends, and answers for what nobody else caught.

    The log has the route's template and never the path or the query, which can name a person.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0
        answered = 0.0

        async def send_with_id(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = time.perf_counter()
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:
                request = Request(scope)
                problem = server_problem(request, error)
                if status:  # half an answer is out; the server has to cut the connection
                    raise
                await problem_response(problem, request.url.path)(scope, receive, send_with_id)
            finally:
                route = getattr(scope.get("route"), "path_format", None)
                if status:  # none: the client left before
                    metrics = scope["app"].state.factory.request_metrics
                    metrics.answered(scope["method"], route, status, answered - began)
                    if reading := scope["state"].get("reading"):
                        scope["app"].state.factory.token_reads.end(reading, status)
                level = logging.DEBUG if route in PROBES and status < BAD_REQUEST else logging.INFO
                log.log(
                    level,
                    "request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    milliseconds=round((time.perf_counter() - began) * 1000, 1),
                    **scope["state"].get("log", {}),
                )
