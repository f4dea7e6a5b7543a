"""Routes of connection events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.responses import StreamingResponse

from app.api.dependencies import ConnectionReader, FactoryDep
from app.api.downloads import begun, download
from app.api.list_query import QueryOf
from app.api.pages import PageOf
from app.api.router import api_router
from app.api.schemas.connection_events import EventOut
from app.api.schemas.queries import ConnectionEventFilters, ConnectionEventQuery

router = api_router("connection-events", tag="Connection")
MEDIA_TYPE = "application/jsonl"


@router.get("", summary="List attempts to connect")
async def list_connection_events(
    caller: ConnectionReader,
    factory: FactoryDep,
    query: Annotated[ConnectionEventQuery, Depends(QueryOf(ConnectionEventQuery))],
) -> PageOf[EventOut]:
    """Attempts to use the connection, and changes of it; by default the newest first.

    Host and user are encrypted where they are stored, so a list cannot be filtered or searched by them.
    """
    page = await factory.connection_events.page(caller.district, query.page)
    return PageOf[EventOut].model_validate(page)


@router.get(
    ".jsonl",
    summary="Export attempts to connect",
    response_class=StreamingResponse,
    responses={200: {"description": "The file.", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def export_connection_events(
    caller: ConnectionReader,
    factory: FactoryDep,
    query: Annotated[ConnectionEventFilters, Depends(QueryOf(ConnectionEventFilters))],
) -> StreamingResponse:
    """Every event of the list as JSON lines, the oldest first: one object a line, as the list shows it.

    An event that cannot be decrypted is a 503, or cuts off the answer when much was sent before it.
    """
    events = factory.connection_events.export(caller.district, query.model_dump(exclude_none=True))

    async def lines() -> AsyncIterator[str]:
        async for event in events:
            yield EventOut.model_validate(event).model_dump_json() + "\n"

    return download(await begun(lines()), MEDIA_TYPE, "connection-events.jsonl")
