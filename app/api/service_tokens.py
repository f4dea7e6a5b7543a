"""Routes of service tokens, with which integrators' programs sign in."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from app.api.dependencies import FactoryDep, TokensManager
from app.api.idempotency import KEYED, IdempotencyDep
from app.api.list_query import QueryOf
from app.api.pages import PageOf
from app.api.problems import problems
from app.api.router import api_router
from app.api.schemas.queries import ServiceTokenQuery
from app.api.schemas.service_tokens import ServiceTokenCreate, ServiceTokenIssued, ServiceTokenOut
from app.errors import ConflictError, NotFoundError
from app.services.service_tokens import IssuedToken

router = api_router("service-tokens", tag="Service tokens")


@router.get("", summary="List service tokens")
async def list_service_tokens(
    caller: TokensManager,
    factory: FactoryDep,
    query: Annotated[ServiceTokenQuery, Depends(QueryOf(ServiceTokenQuery))],
) -> PageOf[ServiceTokenOut]:
    """Service tokens of the district, revoked and expired ones too, by default the newest first."""
    page = await factory.service_tokens.page(caller.district, query.page)
    reads = await factory.token_reads.totals(caller.district, [row.id for row in page.items])
    items = [ServiceTokenOut.of(row, reads.get(row.id)) for row in page.items]
    return PageOf[ServiceTokenOut](items=items, next_cursor=page.next_cursor)


@router.post(
    "", status_code=201, summary="Make a service token", responses={**problems(ConflictError), **KEYED}
)
async def create_service_token(
    caller: TokensManager,
    factory: FactoryDep,
    body: ServiceTokenCreate,
    response: Response,
    idempotency: IdempotencyDep,
) -> ServiceTokenIssued:
    """Make a token with some scopes, for one program. `token` is in this answer and nowhere else."""

    def answer(issued: IssuedToken) -> ServiceTokenIssued:
        response.headers["Location"] = f"{router.prefix}/{issued.row.id}"
        shown = ServiceTokenOut.of(issued.row).model_dump()
        return ServiceTokenIssued(**shown, token=issued.token)

    once = idempotency.once(answer)
    return answer(
        await factory.service_tokens.create(
            caller.district, caller.user, body.name, body.scopes, body.expires_at, once
        )
    )


@router.get("/{token_id}", summary="Read a service token", responses=problems(NotFoundError))
async def get_service_token(caller: TokensManager, factory: FactoryDep, token_id: UUID) -> ServiceTokenOut:
    """One service token, without its secret."""
    row = await factory.service_tokens.get(caller.district, token_id)
    reads = await factory.token_reads.totals(caller.district, [token_id])
    return ServiceTokenOut.of(row, reads.get(token_id))


@router.delete(
    "/{token_id}", status_code=204, summary="Revoke a service token", responses=problems(NotFoundError)
)
async def revoke_service_token(caller: TokensManager, factory: FactoryDep, token_id: UUID) -> None:
    """End the token for good, from its next request on. It stays in the list."""
    await factory.service_tokens.revoke(caller.district, token_id, caller.user)
