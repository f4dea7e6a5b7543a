"""Routes of certifications."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Response
from sqlalchemy import Row

from app.api.dependencies import FactoryDep, IfMatch, RecordsReader
from app.api.idempotency import KEYED, IdempotencyDep
from app.api.import_lock import Editor
from app.api.list_query import QueryOf
from app.api.pages import PageOf
from app.api.problems import problems
from app.api.router import api_router
from app.api.schemas.certifications import CertificationCreate, CertificationOut, CertificationPatch
from app.api.schemas.queries import CertificationQuery
from app.api.versions import tagged
from app.errors import (
    CertificationUpdateInProgressError,
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
)

router = api_router("certifications", tag="Certifications")


@router.get("", summary="List certifications")
async def list_certifications(
    caller: RecordsReader,
    factory: FactoryDep,
    query: Annotated[CertificationQuery, Depends(QueryOf(CertificationQuery))],
) -> PageOf[CertificationOut]:
    """Certifications of the district, by default in the order of their ids."""
    page = await factory.certifications.page(caller.district, query.page)
    return PageOf[CertificationOut].model_validate(page)


@router.post(
    "",
    status_code=201,
    summary="Add a certification",
    responses={**problems(ConflictError, CertificationUpdateInProgressError), **KEYED},
)
async def create_certification(
    caller: Editor,
    factory: FactoryDep,
    body: CertificationCreate,
    response: Response,
    idempotency: IdempotencyDep,
) -> CertificationOut:
    """Add a licence by hand, of an active employee or not. `Location` is its address; 409 if it exists."""

    def answer(row: Row[Any]) -> CertificationOut:
        response.headers["Location"] = f"{router.prefix}/{row.id}"
        return tagged(response, CertificationOut.model_validate(row))

    once = idempotency.once(answer)
    return answer(await factory.certifications.create(caller.district, caller.user, body.model_dump(), once))


@router.get(
    "/{certification_id}", summary="Read one of the certifications", responses=problems(NotFoundError)
)
async def get_certification(
    caller: RecordsReader, factory: FactoryDep, certification_id: UUID, response: Response
) -> CertificationOut:
    """One certification, with the `ETag` of the version."""
    row = await factory.certifications.get(caller.district, certification_id)
    return tagged(response, CertificationOut.model_validate(row))


@router.patch(
    "/{certification_id}",
    summary="Change a certification",
    responses=problems(NotFoundError, PreconditionFailedError, CertificationUpdateInProgressError),
)
async def change_certification(
    caller: Editor,
    factory: FactoryDep,
    certification_id: UUID,
    body: CertificationPatch,
    response: Response,
    if_match: IfMatch = None,
) -> CertificationOut:
    """Change status or dates. Another licence number, type or employee is another certification."""
    fields = body.model_dump(exclude_unset=True)
    row = await factory.certifications.change(
        caller.district, caller.user, certification_id, fields, if_match
    )
    return tagged(response, CertificationOut.model_validate(row))


@router.delete(
    "/{certification_id}",
    status_code=204,
    summary="Delete a certification",
    responses=problems(NotFoundError, PreconditionFailedError, CertificationUpdateInProgressError),
)
async def delete_certification(
    caller: Editor, factory: FactoryDep, certification_id: UUID, if_match: IfMatch = None
) -> None:
    """Remove a certification, and its endorsements with it."""
    await factory.certifications.delete(caller.district, caller.user, certification_id, if_match)
