"""What the database layer does beside passing statements on."""

import asyncio
import gc
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from app.factory import Factory
from app.storage.row_stream import rows
from tests.support.processes import until_async

ACTIVE = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = :name")


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_a_query_cancelled_in_mid_stream_leaves_no_cursor_open(
    factory: Factory, recwarn: pytest.WarningsRecorder
) -> None:
    async def read() -> None:
        async with factory.database.engine.connect() as connection:
            async for _ in rows(connection, sa.select(sa.func.pg_sleep(60))):
                pass

    reading = asyncio.create_task(read())
    async with factory.database.engine.connect() as watcher, asyncio.timeout(20):
        name = factory.database.engine.url.database
        while not (await watcher.execute(ACTIVE, {"name": name})).scalar_one():
            await watcher.rollback()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_a_connection_given_up_twice_still_closes(factory: Factory) -> None:
    """As when a late request is given up and then the process ends, which waits for every task."""
    started, goes_on = Event(), Event()

    def hang() -> None:
        started.set()
        goes_on.wait()

    async def read() -> None:
        async with factory.database.engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.create_function("hang", 0, hang)
            await connection.exec_driver_sql("SELECT hang()")

    before = asyncio.all_tasks()
    reading = asyncio.create_task(read())
    await until_async(started.is_set)
    reading.cancel()
    await until_async(lambda: len(asyncio.all_tasks() - before) == 2)
    (closing,) = asyncio.all_tasks() - before - {reading}
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    closing.cancel()
    goes_on.set()
    _, waiting = await asyncio.wait([closing], timeout=20)
    assert not waiting
