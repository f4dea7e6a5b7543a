"""What the database layer does beside passing statements on."""

import asyncio
import gc

import pytest
import sqlalchemy as sa

from app.factory import Factory
from app.storage.row_stream import rows

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
