"""What a provider may answer when it is asked for its keys, and what is made of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from app.storage import provider_keys
from app.storage.provider_keys import MAX_BYTES, ProviderKeys, ProviderUnavailable
from tests.support.oidc import make_key

PUBLIC = {name: value for name, value in make_key("one").items() if name in ("kty", "n", "e", "kid", "use")}
KEYS = {"keys": [PUBLIC]}


@asynccontextmanager
async def answering(answers: dict[str, Any]) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve `answers` by path, as JSON or as they are; `%` in a text becomes the address."""
    asked: list[str] = []
    answered: set[asyncio.Task[Any] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered.add(asyncio.current_task())
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        asked.append(path)
        given = answers.get(path, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        if not isinstance(given, bytes):
            body = json.dumps(given).replace("%", address).encode()
            given = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        with suppress(ConnectionError):  # who asked has read enough
            writer.write(given)
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield address, asked
    finally:
        server.close()
        await asyncio.gather(*filter(None, answered), return_exceptions=True)


DISCOVERY = "/.well-known/openid-configuration"
GOOD = {DISCOVERY: {"issuer": "%", "jwks_uri": "%/keys"}, "/keys": KEYS}


async def found(answers: dict[str, Any], key_id: str | None = "one", jwks_url: str | None = None) -> Any:
    async with answering(answers) as (address, asked):
        keys = ProviderKeys(address, jwks_url and address + jwks_url)
        try:
            return await keys.find(key_id), asked
        finally:
            await keys.close()


async def test_keys_are_found_by_discovery_or_at_their_address() -> None:
    key, asked = await found(GOOD)
    assert (key.key_id, key.algorithm) == ("one", None)
    assert asked == [DISCOVERY, "/keys"]
    key, asked = await found({"/keys": KEYS}, jwks_url="/keys")
    assert (key.key_id, asked) == ("one", ["/keys"])


async def test_keys_that_are_not_for_signatures_or_not_known_are_left_out() -> None:
    entries = [
        {**PUBLIC, "kid": "for-encryption", "use": "enc"},
        {"kty": "new-kind", "kid": "new"},
        {"kty": "RSA", "kid": "broken"},
        "text",
        {**PUBLIC, "alg": "PS256"},
    ]
    for key_id in ("for-encryption", "new", "broken"):
        key, _ = await found({**GOOD, "/keys": {"keys": entries}}, key_id)
        assert key is None
    key, _ = await found({**GOOD, "/keys": {"keys": entries}})
    assert key.algorithm == "PS256"


@pytest.mark.parametrize(
    "change",
    [
        {DISCOVERY: {"issuer": "https://another.example", "jwks_uri": "%/keys"}},
        {DISCOVERY: {"issuer": "%"}},
        {DISCOVERY: {"issuer": "%", "jwks_uri": "file:///etc/passwd"}},
        {DISCOVERY: {"issuer": "%", "jwks_uri": 5}},
        {DISCOVERY: ["issuer"]},
        {DISCOVERY: b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"},
        {DISCOVERY: b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull"},
        {DISCOVERY: b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n<html></h"},
        {DISCOVERY: b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"},
        {DISCOVERY: b"garbage\r\n\r\n"},
        {DISCOVERY: b"HTTP/1.1 200 OK\r\n\r\n{" + b" " * (MAX_BYTES + 1)},
        {"/keys": {"keys": []}},
        {"/keys": {"keys": None}},
        {"/keys": {}},
    ],
)
async def test_answers_of_no_use(change: dict[str, Any]) -> None:
    with pytest.raises(ProviderUnavailable):
        await found({**GOOD, **change})


async def test_all_who_ask_for_a_new_key_at_once_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
    answers = dict(GOOD)
    async with answering(answers) as (address, _):
        keys = ProviderKeys(address, None)
        assert await keys.find("one")
        answers["/keys"] = {"keys": [{**PUBLIC, "kid": "new"}]}
        every = await asyncio.gather(*(keys.find("new") for _ in range(5)))
        await keys.close()
    assert all(every)


async def test_who_gives_up_waiting_does_not_keep_the_keys_from_others() -> None:
    async with answering(GOOD) as (address, asked):
        keys = ProviderKeys(address, None)
        hasty = asyncio.create_task(keys.find("one"))
        await asyncio.sleep(0)
        hasty.cancel()
        assert await keys.find("one")
        await keys.close()
    assert asked == [DISCOVERY, "/keys"]


async def test_an_outage_is_told_apart_from_an_unknown_key() -> None:
    answers = dict(GOOD)
    async with answering(answers) as (address, _):
        keys = ProviderKeys(address + "/nowhere", None)
        for _ in range(3):
            with pytest.raises(ProviderUnavailable):
                await keys.find("one")
        await keys.close()
    broken = ProviderKeys("https://[::1", None)
    with pytest.raises(ProviderUnavailable):
        await broken.find("one")
    await broken.close()


async def test_many_who_ask_at_once_cause_one_fetch() -> None:
    async with answering(GOOD) as (address, asked):
        keys = ProviderKeys(address, None)
        every = await asyncio.gather(*(keys.find("one") for _ in range(50)))
        await keys.close()
    assert len({id(key) for key in every}) == 1
    assert asked == [DISCOVERY, "/keys"]


async def test_a_withdrawn_key_does_not_count_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
    answers = dict(GOOD)
    async with answering(answers) as (address, _):
        keys = ProviderKeys(address, None)
        assert await keys.find("one")
        answers["/keys"] = {"keys": [{**PUBLIC, "kid": "new"}]}
        assert await keys.find("one"), "the keys are fresh"
        monkeypatch.setattr(provider_keys, "FRESH_SECONDS", -1.0)
        assert await asyncio.gather(*(keys.find("one") for _ in range(3))) == [None] * 3
        await keys.close()


async def test_who_watches_asks_no_more_often_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
    answers = {**GOOD, "/keys": {"keys": [PUBLIC, {**PUBLIC, "kid": "two"}]}}
    async with answering(answers) as (address, asked):
        keys = ProviderKeys(address, None)
        assert [await keys.check() for _ in range(3)] == [2, 2, 2]
        answers["/keys"] = {}
        assert await keys.check() == 2, "an outage shows when the keys are old"
        assert asked == [DISCOVERY, "/keys"]
        monkeypatch.setattr(provider_keys, "FRESH_SECONDS", -provider_keys.FETCH_SECONDS - 1)
        with pytest.raises(ProviderUnavailable, match="keys of before"):
            await keys.check()
        await keys.close()


async def test_an_outage_delays_one_request_and_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)

    async def fail(*_: Any) -> Any:
        raise ValueError

    async def hang(*_: Any) -> Any:
        await asyncio.Event().wait()

    async with answering(GOOD) as (address, _):
        keys = ProviderKeys(address, None)
        assert await keys.find("one")
        monkeypatch.setattr(provider_keys, "FRESH_SECONDS", -1.0)
        monkeypatch.setattr(ProviderKeys, "_document", fail)
        assert await keys.find("one"), "it waited for the fetch, which failed"
        monkeypatch.setattr(ProviderKeys, "_document", hang)
        async with asyncio.timeout(20):
            assert await keys.find("one")
        monkeypatch.setattr(provider_keys, "AWAY_SECONDS", 0.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(keys.find("one"), 0.2)
        await keys.close()
