"""Routes of the audit trail."""

from typing import Annotated

from fastapi import Depends

from app.api.dependencies import AuditReader, FactoryDep
from app.api.list_query import QueryOf
from app.api.pages import PageOf
from app.api.router import api_router
from app.api.schemas.audit_events import AuditEventOut
from app.api.schemas.queries import AuditQuery

router = api_router("audit-events", tag="Audit")


@router.get("", summary="List audit events")
async def list_audit_events(
    caller: AuditReader, factory: FactoryDep, query: Annotated[AuditQuery, Depends(QueryOf(AuditQuery))]
) -> PageOf[AuditEventOut]:
    """Who changed what in the district, over which interface, from where; by default the newest first.

    An import is one event, with counts; what it changed of whom is in its `changes.csv`. Attempts to use the
    connection are in the list of connection events.
    """
    page = await factory.audit.page(caller.district, query.page)
    items = [AuditEventOut.of(row) for row in page.items]
    return PageOf[AuditEventOut](items=items, next_cursor=page.next_cursor)
