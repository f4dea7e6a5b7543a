"""Routes for whoever watches the service; they need no token."""

from fastapi import APIRouter, Response

from app.api.dependencies import Credentials, FactoryDep
from app.api.schemas.health import ComponentOut, Liveness, Readiness
from app.errors import UnauthorizedError
from app.factory import Factory
from app.services.health import Health
from app.services.tokens import read_token

UNAVAILABLE = 503

router = APIRouter(prefix="/health", tags=["Operations"])


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
async def get_readiness(factory: FactoryDep, credentials: Credentials, response: Response) -> Readiness:
    """Check the database, its schema, Redis, the workers and the queue. With a valid token, tell of each."""
    health, components = await factory.health.check()
    if health is Health.UNAVAILABLE:
        response.status_code = UNAVAILABLE
    shown = [ComponentOut.model_validate(component) for component in components]
    trusted = credentials is not None and _is_valid(factory, credentials.credentials)
    return Readiness(status=health, components=shown if trusted else None)


def _is_valid(factory: Factory, token: str) -> bool:
    """Tell whether the token verifies; a probe with a bad one gets its answer all the same."""
    try:
        read_token(factory.signing_key, token)
    except UnauthorizedError:
        return False
    return True
