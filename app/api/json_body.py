"""Reads bodies as RFC 7493 (I-JSON) has them: in UTF-8, and with one meaning only.

Python's own reader takes UTF-16, `NaN` and a name that is given twice, and ends at its limit of recursion.
"""

import json
from collections.abc import Callable, Coroutine
from math import isfinite
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.api.problems import BodyRefusedError
from app.errors import BadRequestError


def _refuse(detail: str) -> NoReturn:
    raise BodyRefusedError(BadRequestError(detail))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _refuse("A name is given twice in one object of the body.")
    return found


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        _refuse("A number of the body is too large.")
    return number


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # thousands of digits
        _refuse("A number of the body is too large.")


def _constant(name: str) -> NoReturn:
    _refuse(f"{name} is no JSON.")


def read_json(body: bytes) -> Any:
    """Return what the body says.

    Raises BodyRefusedError when others could read it differently, json.JSONDecodeError when it is no JSON,
    and UnicodeDecodeError when it is not UTF-8.
    """
    text = body.decode()
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except RecursionError:
        _refuse("The body is nested too deeply.")


class JsonRequest(Request):
    """A request whose body is read strictly."""

    async def json(self) -> Any:
        """Return what the body says."""
        return read_json(await self.body())


class JsonRoute(APIRoute):
    """A route whose body is read strictly; the framework has no other place for a reader."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler, on a request of ours."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_strictly
