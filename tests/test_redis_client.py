"""Connections to Redis that end in the wrong moment, on the event loop that the API serves with."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.redis_client import close, redis_client
from app.settings import Settings
from tests.support.faulty_proxy import FaultyProxy


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_no_cancellation_gets_lost(redis_url: SecretStr, run: Callable[[Any], None]) -> None:
    """In whichever step of a command it comes."""

    async def cancel_in_each_step() -> None:
        client = redis_client(Settings(redis_url=redis_url), Redis, socket_timeout=5)

        async def go_on() -> None:
            while True:
                await client.ping()

        for steps in range(60):
            task = asyncio.create_task(go_on())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=1)
            assert done, f"lost after {steps} steps"
        await close(client)

    run(cancel_in_each_step())


@pytest.mark.parametrize("over_tcp", [True, False])
def test_a_connection_that_is_reset_before_a_write_is_one_that_is_lost(
    redis_url: SecretStr, *, over_tcp: bool
) -> None:
    direct = redis_url.get_secret_value()

    async def write_to_a_closed_one() -> None:
        async with FaultyProxy(Path(urlsplit(direct).path)) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0" if over_tcp else direct
            client = redis_client(Settings(redis_url=SecretStr(url)), Redis, socket_timeout=5)
            pool: Any = client.connection_pool
            connection = pool.make_connection()
            await connection.connect()
            connection._writer.transport.abort()
            await asyncio.sleep(0)
            with pytest.raises(RedisConnectionError):
                await connection.send_command("PING")
            assert await client.ping()
            await connection.disconnect()
            await close(client)

    uvloop.run(write_to_a_closed_one())
