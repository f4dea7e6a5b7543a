"""What the part `api` stands beside: a bare FastAPI that runs the same SQL, in a process of its own.

When it starts it serves each request once by our own application, on a database of its own, and keeps what is
executed there: SQLAlchemy's statements with their parameters, by transactions. Its routes execute that again
through the same engine settings, fetch every row, and return the body that our application answered.
"""

import argparse
import asyncio
import gc
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import httpx
import sqlalchemy as sa
import uvicorn
from fastapi import Body, FastAPI
from pydantic import BaseModel

from app.constants import DEFAULT_DISTRICT
from app.database import Database
from app.main import create_app
from app.models.audit import time_ordered_id
from app.reach import enter_district
from app.settings import Settings
from benchmarks import api_requests as asked

AUDITED = {"audit_event": "id", "audit_payload": "event_id"}
"""Tables whose keys have to be new each time, and their names."""

BULK = "bulk"
"""Recordings of bulk writes: in the order in which they are asked for, each once."""


@dataclass
class Transaction:
    """Statements with their parameters, as they were executed."""

    writes: bool
    steps: list[tuple[Any, Any]] = field(default_factory=list)
    committed: bool = False


@dataclass
class Recording:
    """The transactions of one request, and what it was answered."""

    transactions: list[Transaction] = field(default_factory=list)
    body: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def of(self, engine: sa.Engine) -> Iterator[None]:
        """Keep what is executed meanwhile."""
        begun: dict[sa.Connection, Transaction] = {}
        early: defaultdict[sa.Connection, list[tuple[Any, Any]]] = defaultdict(list)

        def begin(connection: sa.Connection) -> None:
            writes = connection.get_execution_options().get("sqlite_begin") == "IMMEDIATE"
            begun[connection] = Transaction(writes, early.pop(connection, []))
            self.transactions.append(begun[connection])

        def execute(connection: sa.Connection, statement: Any, many: Any, one: Any, _options: Any) -> None:
            # A connection begins a transaction by itself, after it has told of the first statement.
            steps = begun[connection].steps if connection.in_transaction() else early[connection]
            steps.append((statement, many or one))

        def execute_text(
            connection: sa.Connection, _cursor: Any, text: str, values: Any, context: Any, _many: bool
        ) -> None:
            if context.compiled is None and not text.startswith("BEGIN"):  # which the engine says by itself
                begun[connection].steps.append((text, values))

        def commit(connection: sa.Connection) -> None:
            begun[connection].committed = True

        listeners: dict[str, Callable[..., None]] = {
            "begin": begin,
            "before_execute": execute,
            "before_cursor_execute": execute_text,
            "commit": commit,
        }
        for name, listener in listeners.items():
            sa.event.listen(engine, name, listener)
        yield
        for name, listener in listeners.items():
            sa.event.remove(engine, name, listener)


Recordings: TypeAlias = dict[str, deque[Recording]]
Request: TypeAlias = tuple[str, str, str, Any]
"""Name, method, path and body."""


def renewed(steps: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return the steps with new keys for audit events, which cannot be added a second time."""
    fresh: defaultdict[Any, UUID] = defaultdict(time_ordered_id)
    found = []
    for statement, parameters in steps:
        key = AUDITED.get(getattr(getattr(statement, "table", None), "name", ""))
        if key is not None:
            rows = [parameters] if isinstance(parameters, Mapping) else parameters
            found.append((statement, [{**row, key: fresh[row[key]]} for row in rows]))
        else:
            found.append((statement, parameters))
    return found


async def record(settings: Settings, token: str, requests: list[Request]) -> Recordings:
    """Serve the requests once by our own application; return their recordings by name."""
    recordings: Recordings = defaultdict(deque)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        engine = app.state.factory.database.engine.sync_engine
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://bare", headers=headers) as http:
            for name, method, path, body in requests:
                await http.get(asked.ANY_CERTIFICATION)  # what is asked for once only is not of the request
                recording = Recording()
                with recording.of(engine):
                    answer = await http.request(method, path, json=body)
                recording.body = answer.raise_for_status().json()
                recordings[name].append(recording)
    return recordings


class Change(BaseModel):
    """What a bare route takes for a PATCH."""

    status: str


class Bulk(BaseModel):
    """What a bare route takes for a bulk write: nothing of it is looked at."""

    items: list[dict[str, Any]]


async def repeat(database: Database, recording: Recording, *, fresh: bool) -> dict[str, Any]:
    """Execute what was recorded, fetch every row, and return the body."""
    enter_district(DEFAULT_DISTRICT)
    for each in recording.transactions:
        engine = database.writer if each.writes else database.engine
        async with engine.connect() as connection:
            for statement, parameters in renewed(each.steps) if fresh else each.steps:
                if isinstance(statement, str):
                    result = await connection.exec_driver_sql(statement, parameters)
                else:
                    result = await connection.execute(statement, parameters)
                if result.returns_rows:
                    result.all()
            if each.committed:
                await connection.commit()
    return recording.body


def bare_app(settings: Settings, recordings: Recordings) -> FastAPI:
    """Return routes and nothing else; each has a type for its answer, by which FastAPI is at its quickest."""
    app = FastAPI()
    database = Database(settings)

    async def again(recording: Recording, *, fresh: bool = False) -> dict[str, Any]:
        return await repeat(database, recording, fresh=fresh)

    @app.get("/api/v1/certifications")
    async def certifications(employee_number: str) -> dict[str, Any]:
        assert employee_number
        return await again(recordings[asked.CERTIFICATIONS][0])

    @app.get("/api/v1/runs")
    async def runs(status: str, trigger: str, limit: int) -> dict[str, Any]:
        assert status
        assert trigger
        assert limit
        return await again(recordings[asked.RUN_PAGE][0])

    @app.patch("/api/v1/certifications/{certification_id}")
    async def change(certification_id: UUID, change: Change) -> dict[str, Any]:
        assert certification_id
        assert change
        return await again(recordings[asked.PATCH][0], fresh=True)

    @app.post(asked.BULK_PATH)
    async def bulk(body: Annotated[Bulk, Body()]) -> dict[str, Any]:
        assert body.items
        return await again(recordings[BULK].popleft())

    return app


async def main() -> None:
    """Record, then serve until told to stop. The plan, JSON in a file, is what `api.py` writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("plan", type=Path)
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    plan = json.loads(options.plan.read_text(encoding="utf-8"))
    requests = [
        (asked.CERTIFICATIONS, "GET", asked.certifications_path(plan["employee"]), None),
        (asked.RUN_PAGE, "GET", asked.RUN_PATH, None),
        (asked.PATCH, "PATCH", f"/api/v1/certifications/{plan['certification']}", {"status": "RECORDED"}),
    ]
    for number in range(plan["bulks"]):
        requests += [(BULK, "POST", asked.BULK_PATH, asked.bulk(number))] * 2
    settings = Settings()
    recorded = await record(Settings.model_validate(plan["recorded"]), plan["token"], requests)
    gc.collect()
    gc.freeze()  # what was recorded is no garbage, and is not searched for any at each request
    config = uvicorn.Config(
        bare_app(settings, recorded), port=options.port, log_level="warning", access_log=False
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
