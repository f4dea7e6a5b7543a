"""Routes of endorsements."""

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
from app.api.schemas.certifications import EndorsementCreate, EndorsementOut, EndorsementPatch
from app.api.schemas.queries import EndorsementQuery
from app.api.versions import tagged
from app.errors import (
    CertificationUpdateInProgressError,
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
)

router = api_router("endorsements", tag="Endorsements")


@router.get("", summary="List endorsements")
async def list_endorsements(
    caller: RecordsReader,
    factory: FactoryDep,
    query: Annotated[EndorsementQuery, Depends(QueryOf(EndorsementQuery))],
) -> PageOf[EndorsementOut]:
    """Endorsements of the district, by default in the order of their ids."""
    page = await factory.endorsements.page(caller.district, query.page)
    return PageOf[EndorsementOut].model_validate(page)


@router.post(
    "",
    status_code=201,
    summary="Add an endorsement",
    responses={**problems(ConflictError, CertificationUpdateInProgressError), **KEYED},
)
async def create_endorsement(
    caller: Editor,
    factory: FactoryDep,
    body: EndorsementCreate,
    response: Response,
    idempotency: IdempotencyDep,
) -> EndorsementOut:
    """Add an endorsement to a certification. `Location` is its address; 409 if it exists."""

    def answer(row: Row[Any]) -> EndorsementOut:
        response.headers["Location"] = f"{router.prefix}/{row.id}"
        return tagged(response, EndorsementOut.model_validate(row))

    once = idempotency.once(answer)
    return answer(await factory.endorsements.create(caller.district, caller.user, body.model_dump(), once))


@router.get("/{endorsement_id}", summary="Read one of the endorsements", responses=problems(NotFoundError))
async def get_endorsement(
    caller: RecordsReader, factory: FactoryDep, endorsement_id: UUID, response: Response
) -> EndorsementOut:
    """One endorsement, with the `ETag` of the version."""
    row = await factory.endorsements.get(caller.district, endorsement_id)
    return tagged(response, EndorsementOut.model_validate(row))


@router.patch(
    "/{endorsement_id}",
    summary="Change an endorsement",
    responses=problems(
        NotFoundError, ConflictError, PreconditionFailedError, CertificationUpdateInProgressError
    ),
)
async def change_endorsement(
    caller: Editor,
    factory: FactoryDep,
    endorsement_id: UUID,
    body: EndorsementPatch,
    response: Response,
    if_match: IfMatch = None,
) -> EndorsementOut:
    """Change content or the choice of `primary`. Another code or certification is another endorsement."""
    fields = body.model_dump(exclude_unset=True)
    row = await factory.endorsements.change(caller.district, caller.user, endorsement_id, fields, if_match)
    return tagged(response, EndorsementOut.model_validate(row))


@router.delete(
    "/{endorsement_id}",
    status_code=204,
    summary="Delete an endorsement",
    responses=problems(NotFoundError, PreconditionFailedError, CertificationUpdateInProgressError),
)
async def delete_endorsement(
    caller: Editor, factory: FactoryDep, endorsement_id: UUID, if_match: IfMatch = None
) -> None:
    """Remove an endorsement."""
    await factory.endorsements.delete(caller.district, caller.user, endorsement_id, if_match)
