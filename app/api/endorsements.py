"""Routes of endorsements."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from app.api.dependencies import FactoryDep, Viewer
from app.api.pages import PageOf
from app.api.problems import problems
from app.api.router import api_router
from app.api.schemas.certifications import EndorsementOut, RecordQuery
from app.api.versions import tagged
from app.errors import NotFoundError

router = api_router("endorsements", tag="Endorsements")


@router.get("", summary="List endorsements")
async def list_endorsements(
    caller: Viewer, factory: FactoryDep, query: Annotated[RecordQuery, Query()]
) -> PageOf[EndorsementOut]:
    """Endorsements of the district, of one employee or of all, in the order of their ids."""
    page = await factory.endorsements.page(caller.district, query.page, query.employee_number)
    return PageOf[EndorsementOut].model_validate(page)


@router.get("/{endorsement_id}", summary="Read one of the endorsements", responses=problems(NotFoundError))
async def get_endorsement(
    caller: Viewer, factory: FactoryDep, endorsement_id: UUID, response: Response
) -> EndorsementOut:
    """One endorsement, with the `ETag` of the version."""
    row = await factory.endorsements.get(caller.district, endorsement_id)
    return tagged(response, EndorsementOut.model_validate(row))
