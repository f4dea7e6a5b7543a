"""Requests that two servers could read in two ways, to a real `certsync serve`: one answer, never a 500.

What each of them asks for would be a 404 or a 200 if it were taken, so a 400 shows that it was refused.
"""

from collections.abc import Iterator

import pytest

from app import migrations
from app.settings import Settings
from tests.support.processes import until
from tests.support.raw_http import Answer, Raw
from tests.support.serving import Serving

LIVE = "GET /health/live HTTP/1.1\r\n"
POST = "POST /nope HTTP/1.1\r\nHost: x\r\n"
CHUNKED = f"{POST}Transfer-Encoding: chunked\r\n"
NEXT = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = "Connection: close\r\n\r\n"

REFUSED = {
    "length twice": f"{POST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc{NEXT}",
    "two lengths": f"{POST}Content-Length: 3\r\nContent-Length: 40\r\n\r\nabc{NEXT}",
    "list of lengths": f"{POST}Content-Length: 3, 3\r\n\r\nabc{NEXT}",
    "length with a sign": f"{POST}Content-Length: +3\r\n\r\nabc{NEXT}",
    "negative length": f"{POST}Content-Length: -3\r\n\r\nabc{NEXT}",
    "hexadecimal length": f"{POST}Content-Length: 0x3\r\n\r\nabc{NEXT}",
    "length beyond 64 bits": f"{POST}Content-Length: {'9' * 40}\r\n\r\nabc{NEXT}",
    "no length": f"{POST}Content-Length: \r\n\r\nabc{NEXT}",
    "length and chunks": f"{CHUNKED}Content-Length: 3\r\n\r\n0\r\n\r\n{NEXT}",
    "chunks and length": f"{POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{NEXT}",
    "two codings": f"{CHUNKED}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n{NEXT}",
    "unknown coding": f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{NEXT}",
    "list of codings": f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{NEXT}",
    "space before the colon": f"{POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{NEXT}",
    "coding with a tab": f"{POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{NEXT}",
    "chunks in HTTP/1.0": f"{CHUNKED}\r\n0\r\n\r\n{NEXT}".replace("1.1", "1.0", 1),
    "size of a chunk": f"{CHUNKED}\r\nzz\r\nabc\r\n0\r\n\r\n{NEXT}",
    "size with 0x": f"{CHUNKED}\r\n0x3\r\nabc\r\n0\r\n\r\n{NEXT}",
    "size beyond 64 bits": f"{CHUNKED}\r\n{'f' * 20}\r\nabc\r\n0\r\n\r\n{NEXT}",
    "chunk too long": f"{CHUNKED}\r\n2\r\nabc\r\n0\r\n\r\n{NEXT}",
    "extension with LF": f"{CHUNKED}\r\n3;a\nabc\r\n0\r\n\r\n{NEXT}",
    "extension without end": f'{CHUNKED}\r\n3;a="\r\nabc\r\n0\r\n\r\n{NEXT}',
    "bare LF": "GET /health/live HTTP/1.1\nHost: x\n\n",
    "one bare LF": f"{LIVE}Host: x\nA: b\r\n\r\n",
    "bare CR": f"{LIVE}Host: x\rA: b\r\n\r\n",
    "folded": f"{LIVE}Host: x\r\nA: b\r\n c\r\n\r\n",
    "NUL in a value": f"{LIVE}Host: x\r\nA: b\0c\r\n\r\n",
    "control in a value": f"{LIVE}Host: x\r\nA: b\x01c\r\n\r\n",
    "NUL in a name": f"{LIVE}Host: x\r\nA\0: b\r\n\r\n",
    "space in a name": f"{LIVE}Host: x\r\nA b: c\r\n\r\n",
    "no name": f"{LIVE}Host: x\r\n: b\r\n\r\n",
    "no host": f"{LIVE}\r\n",
    "two hosts": f"{LIVE}Host: x\r\nHost: y\r\n\r\n",
    "two tokens": f"{LIVE}Host: x\r\nAuthorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
    "two types": f"{POST}Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n",
    "NUL in the path": f"{LIVE}Host: x\r\n\r\n".replace("live", "li\0ve"),
    "control in the path": f"{LIVE}Host: x\r\n\r\n".replace("live", "li\x01ve"),
    "bytes in the path": f"{LIVE}Host: x\r\n\r\n".replace("live", "\xe9"),
    "path without slash": "GET health HTTP/1.1\r\nHost: x\r\n\r\n",
    "address without path": "GET http://evil.example HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": f"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n{NEXT}",
    "HTTP/2": f"{LIVE}Host: x\r\n\r\n".replace("1.1", "2.0"),
    "HTTP/1.2": f"{LIVE}Host: x\r\n\r\n".replace("1.1", "1.2"),
    "preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": "\x16\x03\x01\x00\xf1\x01\x00\x00\xed\x03\x03" + "\0" * 50,
    "unknown method": f"{LIVE}Host: x\r\n\r\n".replace("GET", "STEAL"),
    "upgrade with a body": f"{POST}Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 36\r\n\r\n{NEXT}",
}
TAKEN = {
    "address with a host": ("GET http://evil.example/health/live HTTP/1.1\r\nHost: x\r\n" + CLOSE, 200),
    "another scheme": ("GET ftp://evil.example/x HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404),
    "star": ("OPTIONS * HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404),
    "two slashes": ("GET //evil.example/x HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404),
    "dots": ("GET /static-offline-docs/%2e%2e/core.py HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404),
    "dots with slashes": ("GET /static-offline-docs/..%2f..%2fcore.py HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404),
    "NUL to a file": ("GET /static-offline-docs/a%00b HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404),
    "surrogate to a file": ("GET /static-offline-docs/%ed%a0%80 HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404),
    "long name of a file": (f"GET /static-offline-docs/{'a' * 5000} HTTP/1.1\r\nHost: x\r\n{CLOSE}", 404),
    "overlong UTF-8": ("GET /problems/%c0%ae%c0%ae HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404),
    "broken escapes": ("GET /problems/%zz%1 HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404),
    "line breaks": ("GET /problems/a%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: x\r\n" + CLOSE, 404),
    "TRACE": ("TRACE /health/live HTTP/1.1\r\nHost: x\r\nX-Secret: y\r\n" + CLOSE, 405),
    "another method": (f"{LIVE}Host: x\r\nX-HTTP-Method-Override: DELETE\r\n{CLOSE}", 200),
    "bytes in values": (f"{LIVE}Host: x\r\nX-Request-ID: \xff\r\nAuthorization: Bearer \xfe\r\n{CLOSE}", 200),
    "chunks": (f"{CHUNKED}{CLOSE}3\r\nabc\r\n0\r\n\r\n", 404),
    "blank lines before": (f"\r\n\r\n{LIVE}Host: x\r\n{CLOSE}", 200),
    "HTTP/1.0": ("GET /health/live HTTP/1.0\r\n\r\n", 200),
    "something after the last": (f"{LIVE}Host: x\r\n{CLOSE}{NEXT}", 200),
    "upgrade": (f"{LIVE}Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n{NEXT}", 200),
}
OURS = {
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
    "x-request-id",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    data = tmp_path_factory.mktemp("smuggling")
    migrations.upgrade(Settings(data_dir=data))
    found = Serving(data, 1, {})
    try:
        until(found.answers, 60)
        yield found
        log = found.log.read_text()
        assert "Traceback" not in log
        assert '"level": "error"' not in log
        assert "Evil" not in log
    finally:
        found.process.kill()
        found.process.wait()


def one_answer(server: Serving, data: str) -> Answer:
    """Return the only answer, none of whose headers is of another's making."""
    with Raw(server.port) as raw:
        (answer,) = raw.send(data).answers()
    assert {name for name, _ in answer.headers} <= OURS
    assert len(dict(answer.headers)) == len(answer.headers)
    assert answer["x-content-type-options"] == "nosniff"
    return answer


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(server: Serving, data: str) -> None:
    answer = one_answer(server, data)
    assert (answer.status, answer["content-type"]) == (400, "application/problem+json")
    assert answer["connection"] == "close"


@pytest.mark.parametrize(("data", "status"), TAKEN.values(), ids=TAKEN)
def test_what_is_odd_is_read_in_one_way(server: Serving, data: str, status: int) -> None:
    answer = one_answer(server, data)
    assert answer.status == status
    assert b"X-Secret" not in answer.body
