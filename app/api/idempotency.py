"""`Idempotency-Key` in requests, and the answer of a request that is sent again (api.md, Conventions)."""

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field

from app.api.dependencies import AnyCaller
from app.api.problems import problems
from app.errors import IdempotencyKeyReusedError, ValidationFailedError
from app.services.idempotency import NO_KEY, AnswerRepeated, Once, StoredAnswer
from app.storage.idempotency_keys import KeyedRequest

LONGEST = 255
PRINTABLE = re.compile(rf"[ -~]{{1,{LONGEST}}}")
KEYED = problems(ValidationFailedError, IdempotencyKeyReusedError)
"""The `responses=` that a route with a key has beside its own."""


def check_key(text: str) -> str:
    """Return the key; raises ValueError when it cannot be one."""
    if not PRINTABLE.fullmatch(text):
        raise ValueError(f"must be 1 to {LONGEST} printable ASCII characters, for example a new UUID")
    return text


Key = Annotated[
    str,
    AfterValidator(check_key),
    Field(json_schema_extra={"minLength": 1, "maxLength": LONGEST, "pattern": "^[ -~]+$"}),
]
KeyHeader = Annotated[
    Key | None,
    Header(
        alias="Idempotency-Key",
        description="A new value for each thing that is to happen, such as a UUID. For 24 hours the same "
        "request with the same key takes no effect again: it gets the first answer, with "
        "`Idempotency-Replayed: true`. A refused request does not use its key up.",
        examples=["5f0c7b0e-6a0f-4f3e-9a53-3a8f6f4f2d10"],
    ),
]


class Idempotency:
    """The key of the request, if it has one, and the response that its handler is making."""

    def __init__(self, request: KeyedRequest | None, response: Response, status: int) -> None:
        self._request = request
        self._response = response
        self._status = status

    def once(self, answer: Callable[[Any], BaseModel]) -> Once:
        """Return what makes the use case take effect once.

        `answer` is how the handler itself turns the result into a body, response headers included.
        """
        if self._request is None:
            return NO_KEY

        def stored(result: object) -> StoredAnswer:
            body = answer(result).model_dump(mode="json")
            return StoredAnswer(self._status, dict(self._response.headers), body)

        return Once(self._request, stored)


async def read_idempotency(
    request: Request, response: Response, caller: AnyCaller, key: KeyHeader = None
) -> Idempotency:
    """Return the key of this request with what tells the request from another."""
    status = request.scope["route"].status_code or 200
    if key is None:
        return Idempotency(None, response, status)
    told = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + await request.body())
    keyed = KeyedRequest(caller.district, caller.user, key, told.hexdigest())
    return Idempotency(keyed, response, status)


IdempotencyDep = Annotated[Idempotency, Depends(read_idempotency)]


def add_repeated_answers(app: FastAPI) -> None:
    """Make the application give the stored answer to a request that took effect before."""

    @app.exception_handler(AnswerRepeated)
    async def _repeated(_request: Request, repeated: AnswerRepeated) -> JSONResponse:
        answer = repeated.answer
        return JSONResponse(
            answer.body, answer.status, headers={**answer.headers, "Idempotency-Replayed": "true"}
        )
