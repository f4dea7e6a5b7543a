"""What the database layer does beside passing statements on."""

import asyncio
import gc

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.database import execute_all
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


async def test_of_many_statements_the_failure_is_reported_and_what_follows_it_not_done(
    factory: Factory,
) -> None:
    table = sa.Table("number", sa.MetaData(), sa.Column("n", sa.Integer, primary_key=True))
    async with factory.database.engine.connect() as connection:
        await connection.run_sync(table.create)
        await connection.commit()
        await execute_all(connection, [sa.insert(table).values(n=1), sa.insert(table).values(n=2)])
        await connection.commit()
        with pytest.raises(IntegrityError):
            await execute_all(connection, [sa.insert(table).values(n=number) for number in (3, 1, 4)])
        await connection.rollback()
        found = (await connection.execute(sa.select(table.c.n).order_by(table.c.n))).scalars().all()
    assert found == [1, 2]
