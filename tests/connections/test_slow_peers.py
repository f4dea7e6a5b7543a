"""Peers that take their time, and more of them than there is room for."""

import asyncio
import time
from typing import Any

import pytest

from app.cli import http_protocol
from tests.support.echo_server import HOST, MOST, Served, get, refused
from tests.support.processes import until, until_async
from tests.support.raw_http import LIMIT, Raw


async def test_a_connection_that_says_nothing_is_closed(served: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    assert await served.talk(Raw.rest) == b""
    assert await served.talk(lambda raw: raw.send("\r\n").rest()) == b""


def drip(raw: Raw, text: str) -> None:
    """Send a byte every little while, until nobody takes it."""
    deadline = time.monotonic() + LIMIT
    try:
        while time.monotonic() < deadline:
            for byte in text:
                raw.socket.send(byte.encode())
                time.sleep(0.02)
    except OSError:
        return
    pytest.fail("it was taken without end")


async def test_a_head_that_comes_byte_by_byte_is_late(served: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    head = f"GET / HTTP/1.1\r\n{HOST}A: "
    answers = await served.talk(lambda raw: raw.send(head).answers())
    refused(answers, 408, "request-timeout")
    await served.talk(lambda raw: drip(raw.send(head), "b"))
    await served.talk(lambda raw: drip(raw, "\r\n"))

    def second(raw: Raw) -> None:
        assert raw.send(get("/1", close=False)).answer().status == 200
        drip(raw.send(head), "b")

    await served.talk(second)
    assert served.seen == ["/1"]


async def test_a_body_that_nobody_waits_for_has_to_end(served: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)

    def talk(raw: Raw) -> None:
        raw.send(f"POST /early HTTP/1.1\r\n{HOST}Content-Length: 100000\r\n\r\n")
        assert raw.answer().status == 200
        drip(raw, "b")

    await served.talk(talk)


@pytest.mark.parametrize("limit", ["STALL_SECONDS", "ANSWER_SECONDS"])
async def test_an_answer_that_nobody_reads_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(http_protocol, limit, 0.3)

    def talk(raw: Raw) -> None:
        raw.send(get("/endless"))
        until(lambda: served.left, LIMIT)

    await served.talk(talk, small=True)


async def test_a_client_that_leaves_ends_its_request_with_others_queued(served: Served) -> None:
    def talk(raw: Raw) -> None:
        raw.send(get("/endless", close=False) + get("/2", close=False)).answer_begins()

    await served.talk(talk)
    await until_async(lambda: served.left == ["/endless"])
    assert served.seen == ["/endless"]


async def test_one_connection_too_many_ends_the_one_that_idles_longest(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 600)
    idle = [await asyncio.to_thread(Raw, served.port) for _ in range(MOST)]
    try:
        assert idle[0].send(get("/1", close=False))
        await until_async(lambda: served.seen == ["/1"])
        assert await served.sends(get("/2")) == [(200, "/2 0")]
        await until_async(lambda: sum(map(Raw.ended, idle[1:])) == 1)
        assert (await asyncio.to_thread(idle[0].answer)).status == 200, "it idles since its answer only"
    finally:
        for each in idle:
            each.socket.close()


async def test_connections_that_work_are_not_ended(served: Served) -> None:
    busy = [await asyncio.to_thread(Raw, served.port) for _ in range(MOST)]
    try:
        for each in busy:
            each.send(get("/held"))
        await until_async(lambda: len(served.seen) == MOST)
        refused(await served.talk(Raw.answers), 503, "overloaded")
        served.release.set()
        for each in busy:
            assert (await asyncio.to_thread(each.answer)).status == 200
    finally:
        for each in busy:
            each.socket.close()


async def test_one_that_does_not_read_makes_room(served: Served) -> None:
    busy = [await asyncio.to_thread(Raw, served.port, small=True) for _ in range(MOST)]
    try:
        busy[0].send(get("/endless"))
        for each in busy[1:]:
            each.send(get("/held"))
        await until_async(lambda: len(served.seen) == MOST)

        async def is_let_in() -> bool:
            return (await served.sends(get("/new")))[0][0] != 503

        await until_async(is_let_in, LIMIT)
    finally:
        for each in busy:
            each.socket.close()
