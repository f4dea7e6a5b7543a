"""Routes for whoever watches the service; they need no token."""

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from app.api.dependencies import Credentials, FactoryDep
from app.api.router import operation_id
from app.api.schemas.health import ComponentOut, Liveness, Readiness
from app.errors import AppError
from app.factory import Factory
from app.probing import within
from app.services.health import CHECK_SECONDS, Health

UNAVAILABLE = 503

router = APIRouter(prefix="/health", tags=["Operations"], generate_unique_id_function=operation_id)


@router.get("/live", summary="Is the process up?")
async def get_liveness() -> Liveness:
    """Answer as long as the process does."""
    return Liveness()


@router.get(
    "/ready",
    summary="Can it do its work?",
    response_model_exclude_none=True,
    openapi_extra={"security": [{}]},  # a token is welcome and not needed
    responses={UNAVAILABLE: {"model": Readiness, "description": "The database or its schema is not right."}},
)
async def get_readiness(
    factory: FactoryDep, credentials: Credentials, request: Request, response: Response
) -> Readiness:
    """Check the database, its schema, Redis, the workers and the queue. With a valid token, tell of each."""
    health, components = await factory.health.check()
    if health is Health.UNAVAILABLE:
        response.status_code = UNAVAILABLE
    shown = [ComponentOut.model_validate(component) for component in components]
    trusted = credentials is not None and await _is_valid(factory, credentials.credentials)
    request.state.verified = trusted
    return Readiness(status=health, components=shown if trusted else None)


async def _is_valid(factory: Factory, token: str) -> bool:
    """Tell whether the token verifies; a probe with a bad one gets its answer all the same."""
    try:
        await within(CHECK_SECONDS, factory.authentication.caller(token))
    except (AppError, SQLAlchemyError, TimeoutError):
        return False
    return True
