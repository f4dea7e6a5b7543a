"""Which heads of requests are taken, and answers that are given without the application."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus

from app.api.problems import problem_response
from app.errors import AppError, BadRequestError

Headers = Sequence[tuple[bytes, bytes]]

MAX_ADDRESS = 8192
"""Bytes of a path with its query; RFC 9110 (4.1) asks for 8,000 at least."""
MAX_HEAD = 32 * 1024
"""Bytes of a request line with its headers, as nginx has it; of anything that has no body behind it, too."""
MAX_HEADERS = 100
VERSIONS = ("1.0", "1.1")
BODY = {b"content-length", b"transfer-encoding"}
SINGLE = (
    b"authorization",
    b"content-length",
    b"content-type",
    b"host",
    b"idempotency-key",
    b"transfer-encoding",
)
"""Headers of which two are two opinions: whoever stands in front may have gone by the other one."""


def check_head(headers: Headers, version: str, *, upgrade: bool) -> AppError | None:
    """Return why two servers could read a request in two ways (RFC 9112: 3.2, 6.1, 6.3, 11.2), else None.

    `upgrade`: the parser takes what follows for another protocol, a body too, which would be lost.
    """
    names = [name for name, _ in headers]
    given = dict(headers)
    if twice := [name.decode() for name in SINGLE if names.count(name) > 1]:
        return BadRequestError(f"The header {twice[0]} is given several times.")
    if version not in VERSIONS or (version == "1.1" and b"host" not in given):
        return BadRequestError("Send HTTP/1.1 with the header host.")
    if upgrade and not given.keys().isdisjoint(BODY):
        return BadRequestError("There is no other protocol here. Leave out the header upgrade.")
    coding = given.get(b"transfer-encoding")
    if coding and (version != "1.1" or b"content-length" in given or coding.lower() != b"chunked"):
        return BadRequestError("The length of the body is not clear. Send content-length alone.")
    return None


def raw_answer(refusal: AppError, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a whole answer, after which the connection is closed."""
    response = problem_response(refusal, None)
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in (*response.raw_headers, *headers))
    status = f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n".encode()
    return status + lines + b"connection: close\r\n\r\n" + bytes(response.body)
