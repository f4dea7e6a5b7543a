"""Queries of lists are read by their model at once, and are refused as the framework would refuse them."""

from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel

from app.api.list_query import QueryOf
from app.api.rules import queries
from app.main import create_app
from app.settings import Settings
from tests.support.api import Api, problem

ASKED = [
    "",
    "limit=5&q=a%20b",
    "limit=0&cursor=x",
    "limit=five&sort=nothing&unknown=1",
    "status=failed&status=waiting&status=nonsense",
    "code=1&code=2&kind=import&trigger=schedule",
    "late=true&report=maybe&task_id=no-uuid",
    "q=a%00b&port=99999&name=",
    "at_from=2026-01-02T00:00:00Z&at_to=2026-01-01T00:00:00Z",
    "issued_from=2026-02-30&time=24:00",
]


def app_of(models: dict[str, type[BaseModel]], *, ours: bool) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(RequestValidationError)
    async def _faults(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse([[list(each["loc"]), each["type"], each["msg"]] for each in error.errors()])

    for path, model in models.items():
        how = Depends(QueryOf(model)) if ours else Query()

        async def read(query: Annotated[model, how]) -> Any:  # type: ignore[valid-type] # for the framework
            return query.model_dump(exclude_unset=True)  # type: ignore[attr-defined] # as above

        app.add_api_route(path, read)
    return app


@pytest.mark.parametrize("asked", ASKED)
async def test_a_query_is_read_as_the_framework_reads_it(settings: Settings, asked: str) -> None:
    models = queries(create_app(settings))
    assert len(models) == 11
    answers = []
    for ours in (True, False):
        transport = ASGITransport(app_of(models, ours=ours))
        async with AsyncClient(transport=transport, base_url="http://test") as http:
            answers.append([(await http.get(f"{path}?{asked}")).json() for path in models])
    assert answers[0] == answers[1]


async def test_who_has_no_token_is_told_nothing_of_a_query(api: Api) -> None:
    problem(await api.get("/runs?limit=many", role=None), 401, "unauthorized")


async def test_a_list_is_read_by_the_same_statement_whatever_the_values(api: Api) -> None:
    seen = []
    engine = api.factory.database.engine.sync_engine

    def note(_connection: object, statement: object, *_others: object) -> None:
        seen.append(statement)

    sa.event.listen(engine, "before_execute", note)
    for query in ("status=failed&limit=5", "status=waiting&status=failed&limit=7"):
        assert (await api.get(f"/runs?{query}")).status_code == 200
    sa.event.remove(engine, "before_execute", note)
    pages = [each for each in seen if "FROM run" in str(each)]
    assert len(pages) == 2
    assert pages[0] is pages[1]
