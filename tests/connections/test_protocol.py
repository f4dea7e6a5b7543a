"""Connections to the server that send too much or out of turn: raw sockets, on both event loops."""

import asyncio

import pytest

from app.cli import http_protocol
from app.cli.http_head import MAX_ADDRESS, MAX_HEAD, MAX_HEADERS
from tests.support.echo_server import HOST, Served, get, refused
from tests.support.processes import until_async
from tests.support.raw_http import Raw


@pytest.mark.parametrize(
    ("head", "status", "slug"),
    [
        (get("/?" + "a" * MAX_ADDRESS), 414, "address-too-long"),
        ("GET /" + "a" * 1_000_000, 414, "address-too-long"),
        (get("/", *[f"A{number}: b" for number in range(MAX_HEADERS)]), 431, "headers-too-large"),
        (get("/", "A: " + "b" * (MAX_HEAD + 2 * http_protocol.PIECE)), 431, "headers-too-large"),
        (f"GET / HTTP/1.1\r\n{HOST}A: " + "b" * 10_000_000, 431, "headers-too-large"),
        (f"GET / HTTP/1.1\r\n{HOST}" + "a" * 10_000_000, 431, "headers-too-large"),
    ],
    ids=["address", "endless address", "many", "large", "endless value", "endless name"],
)
async def test_a_head_has_a_size(served: Served, head: str, status: int, slug: str) -> None:
    refused(await served.talk(lambda raw: raw.send(head).answers()), status, slug)
    assert not served.seen


async def test_what_is_large_and_allowed_is_served(served: Served) -> None:
    path = "/" + "a" * (MAX_ADDRESS - 1)
    head = get(path, *[f"A{number}: {'b' * 200}" for number in range(MAX_HEADERS - 2)])
    assert await served.sends(head) == [(200, f"{path} 0")]


async def test_a_body_counts_for_no_head(served: Served) -> None:
    body = "a" * 500_000
    chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in ("a", "b" * 70_000) * 20)
    first = f"POST /1 HTTP/1.1\r\n{HOST}Content-Length: {len(body)}\r\n\r\n{body}"
    second = f"POST /2 HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    assert await served.sends(first + second + get("/3")) == [
        (200, "/1 500000"),
        (200, "/2 1400020"),
        (200, "/3 0"),
    ]


async def test_trailers_are_dropped_and_have_a_size(served: Served) -> None:
    head = f"POST / HTTP/1.1\r\n{HOST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    assert await served.sends(head + "Authorization: Bearer x\r\n\r\n") == [(200, "/ 1")]
    assert b"authorization" not in dict(served.headers)
    answers = await served.talk(lambda raw: raw.send(head + "A: " + "b" * 1_000_000).answers())
    refused(answers, 431, "headers-too-large")
    assert served.left == ["/"]


async def test_requests_that_are_sent_at_once_are_answered_in_turn(served: Served) -> None:
    many = "".join(get(f"/{number}", close=False) for number in range(500)) + get("/last")
    assert await served.sends(many) == [(200, f"/{number} 0") for number in range(500)] + [(200, "/last 0")]


async def test_nothing_after_the_last_request_is_served(served: Served) -> None:
    assert await served.sends(get("/1") + get("/2")) == [(200, "/1 0")]
    upgrade = ("Connection: Upgrade", "Upgrade: websocket")
    assert await served.sends(get("/3", *upgrade, close=False) + get("/4")) == [(200, "/3 0")]
    assert served.seen == ["/1", "/3"]


async def test_a_broken_request_waits_for_the_answer_before_it(served: Served) -> None:
    """Its own answer would be taken for that of the request before."""
    broken = asyncio.create_task(served.sends(get("/held", close=False) + "\x00nonsense\r\n\r\n"))
    await until_async(lambda: served.seen == ["/held"])
    await served.sends(get("/other"))  # what was sent has been looked at meanwhile
    served.release.set()
    assert await broken == [(200, "/held 0")]


async def test_a_broken_request_waits_for_those_that_wait(served: Served) -> None:
    def talk(raw: Raw) -> list[tuple[int, str]]:
        raw.send(get("/held", close=False) + get("/next", close=False) + "\x00nonsense\r\n\r\n")
        return [(answer.status, answer.body.decode()) for answer in raw.answers()]

    talking = asyncio.create_task(served.talk(talk))
    await until_async(lambda: served.seen == ["/held"])
    served.release.set()
    first, second, third = await talking
    assert (first, second, third[0]) == ((200, "/held 0"), (200, "/next 0"), 400)


async def test_a_broken_body_gets_one_answer(served: Served) -> None:
    broken = f"HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nnonsense\r\n"
    ((status, _),) = await served.sends(f"POST / {broken}")
    assert status == 400
    assert served.left == ["/"]
    assert len(await served.sends(f"POST /early {broken}")) == 1
    first, *rest = await served.sends(get("/1", close=False) + f"POST /2 {broken}")
    assert first == (200, "/1 0")
    assert len(rest) <= 1

    def talk(raw: Raw) -> bytes:
        head, _, body = broken.partition("\r\n\r\n")
        assert raw.send(f"POST /early {head}\r\n\r\n").answer().status == 200
        return raw.send(body).rest()

    assert await served.talk(talk) == b""
