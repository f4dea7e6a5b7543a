"""Routes of connection events."""

from typing import Annotated

from fastapi import Query

from app.api.dependencies import FactoryDep, Viewer
from app.api.pages import PageOf
from app.api.router import api_router
from app.api.schemas.queries import ConnectionEventQuery
from app.api.schemas.sftp_connection import EventOut

router = api_router("connection-events", tag="Connection")


@router.get("", summary="List attempts to connect")
async def list_connection_events(
    caller: Viewer, factory: FactoryDep, query: Annotated[ConnectionEventQuery, Query()]
) -> PageOf[EventOut]:
    """Attempts to use the connection, by imports and tests; by default the newest first.

    Host and user are encrypted where they are stored, so a list cannot be filtered or searched by them.
    """
    page = await factory.connections.events(caller.district, query.page)
    return PageOf[EventOut].model_validate(page)
