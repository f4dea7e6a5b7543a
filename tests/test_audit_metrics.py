"""What operators are told of audit events that nobody seals."""

import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.constants import Role
from app.models.base import utc_now
from tests.support.api import HERE, THERE, Api
from tests.support.audit import change, record, record_many, tamper


async def waiting(api: Api) -> float:
    text = (await api.get("/metrics", role=Role.OPS, district="*")).text
    [figure] = re.findall(r"^certsync_audit_unsealed_seconds (\S+)$", text, re.MULTILINE)
    return float(figure)


async def test_events_that_wait_for_their_seal_are_told(api: Api) -> None:
    assert await waiting(api) == 0
    minutes_ago = [utc_now() - timedelta(minutes=number) for number in (9, 5)]
    await record(api.factory, change(), district_id=HERE, at=minutes_ago[0])
    assert 540 <= await waiting(api) < 560, "nothing was ever sealed"
    await api.factory.audit.seal()
    assert await waiting(api) == 0
    await record(api.factory, change(), change(), district_id=HERE, at=minutes_ago[1])
    await record(api.factory, change(), district_id=THERE)
    assert 300 <= await waiting(api) < 320


async def test_an_event_that_nobody_can_seal_is_told_and_no_scrape_fails(api: Api) -> None:
    await record(api.factory, change(), district_id=HERE)
    spoiling = "UPDATE audit_event SET at = 'whenever'"
    if not api.factory.database.is_sqlite:  # which stores any text as a time
        with pytest.raises(sa.exc.DataError):
            await tamper(api.factory, spoiling)
        return
    await tamper(api.factory, spoiling)
    await api.factory.audit.seal()
    assert await waiting(api) > timedelta(days=365).total_seconds()


async def test_a_long_trail_is_not_read_for_it(api: Api) -> None:
    await record_many(api.factory, 4000, HERE)
    await api.factory.audit.seal()
    database = api.factory.watching
    async with database.write() as session:
        await (await session.connection()).exec_driver_sql("ANALYZE")
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    await api.get("/metrics", role=Role.OPS, district="*")
    [(statement, values)] = [(text, values) for text, values in asked if "audit_event" in text]
    explain, scan = ("EXPLAIN QUERY PLAN", "SCAN") if database.is_sqlite else ("EXPLAIN", "Seq Scan on")
    async with database.engine.connect() as connection:
        plan = str((await connection.exec_driver_sql(f"{explain} {statement}", values)).all())
    assert f"{scan} audit_" not in plan, plan
    where_it_begins = r"at>\?" if database.is_sqlite else r"Index Cond:[^']*at > COALESCE"
    assert re.search(where_it_begins, plan), plan
