"""What workers ask of the database every few seconds stays cheap, however many districts there are."""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from app.constants import DAYS, RunKind, RunStatus, RunTrigger, TaskStatus
from app.database import Database
from app.factory import Factory
from app.models import District, Run, Task
from app.models.base import utc_now
from app.storage import due_runs
from tests.support.imports import TIMEZONE, USER

DISTRICTS = 2000
Look = Callable[[Factory], Awaitable[object]]


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Collect what is asked of the database, with its parameters."""
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        asked.append((statement, parameters))

    sa.event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    yield asked
    sa.event.remove(database.engine.sync_engine, "before_cursor_execute", note)


@pytest.fixture
async def many(factory: Factory) -> Factory:
    """Thousands of districts, each with a task whose next run lies ahead."""
    ahead = utc_now() + timedelta(hours=1)
    names = [f"d{number}" for number in range(DISTRICTS)]
    common: dict[str, Any] = {
        "task_description": "nightly",
        "run_by": USER,
        "kind": RunKind.IMPORT,
        "timezone": TIMEZONE,
    }
    common |= {"created_by": USER, "updated_by": USER, "scheduled_by": USER, "description": "nightly"}
    common |= {"status": TaskStatus.ACTIVE, "recurrence": list(DAYS), "next_run_at": ahead, "version": 1}
    ids = [UUID(int=number) for number in range(DISTRICTS)]
    rows: dict[type, list[dict[str, Any]]] = {
        District: [{"id": name, "name": name, "timezone": TIMEZONE} for name in names],
        Task: [
            {"id": task_id, "district_id": name, **common} for name, task_id in zip(names, ids, strict=True)
        ],
        Run: [
            {**common, "id": uuid4(), "district_id": name, "task_id": task_id, "trigger": RunTrigger.SCHEDULE}
            | {"slot": ahead, "scheduled_start": ahead, "status": RunStatus.WAITING}
            for name, task_id in zip(names, ids, strict=True)
        ],
    }
    async with factory.database.write() as session:
        connection = await session.connection()
        for model, values in rows.items():
            table = model.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
            whole = [model(**row).model_dump() for row in values]
            await connection.execute(sa.insert(table), whole)
    async with factory.database.write() as session:
        await (await session.connection()).execute(sa.text("ANALYZE"))
    return factory


async def tick(factory: Factory) -> None:
    await factory.schedule.tick(utc_now())


async def claim_next(factory: Factory) -> None:
    async with factory.database.write() as session:
        assert await due_runs.claim_next(await session.connection(), uuid4(), utc_now()) is None


async def sweep(factory: Factory) -> None:
    async with factory.database.read() as session:
        connection = await session.connection()
        assert await due_runs.abandoned(connection, utc_now(), timedelta(seconds=15)) == []
        await due_runs.end_lost_from_disk(connection, utc_now())


async def report(factory: Factory) -> None:
    assert await factory.reporting.report_next(timedelta()) is None


@pytest.mark.parametrize(
    ("look", "queries"),
    [(tick, 1), (claim_next, 2), (sweep, 4), (report, 1)],
    ids=["tick", "claim_next", "sweep", "report"],
)
async def test_a_look_at_which_nothing_is_due_reads_an_index(many: Factory, look: Look, queries: int) -> None:
    database = many.database
    with statements(database) as asked:
        await look(many)
    asked = [found for found in asked if not found[0].startswith("BEGIN")]
    assert len(asked) == queries
    for query, parameters in asked:
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        async with database.engine.connect() as connection:
            plan = (await connection.exec_driver_sql(explain + query, parameters)).all()
        steps = [str(step) for step in plan]
        assert not any(
            re.search(r"Seq Scan on (run|task)\b|SCAN (run|task)(?! USING)", at) for at in steps
        ), steps
