"""Routes of certifications."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from app.api.dependencies import FactoryDep, Viewer
from app.api.pages import PageOf
from app.api.problems import problems
from app.api.router import api_router
from app.api.schemas.certifications import CertificationOut, RecordQuery
from app.api.versions import tagged
from app.errors import NotFoundError

router = api_router("certifications", tag="Certifications")


@router.get("", summary="List certifications")
async def list_certifications(
    caller: Viewer, factory: FactoryDep, query: Annotated[RecordQuery, Query()]
) -> PageOf[CertificationOut]:
    """Certifications of the district, of one employee or of all, in the order of their ids."""
    page = await factory.certifications.page(caller.district, query.page, query.employee_number)
    return PageOf[CertificationOut].model_validate(page)


@router.get(
    "/{certification_id}", summary="Read one of the certifications", responses=problems(NotFoundError)
)
async def get_certification(
    caller: Viewer, factory: FactoryDep, certification_id: UUID, response: Response
) -> CertificationOut:
    """One certification, with the `ETag` of the version."""
    row = await factory.certifications.get(caller.district, certification_id)
    return tagged(response, CertificationOut.model_validate(row))
