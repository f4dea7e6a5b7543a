"""What all routers under the base path share."""

from fastapi import APIRouter

from app.api.problems import problems
from app.errors import ForbiddenError, ServiceUnavailableError, UnauthorizedError, ValidationFailedError

BASE = "/api/v1"


def api_router(noun: str, *, tag: str) -> APIRouter:
    """Return a router for `/api/v1/<noun>` that documents what every route can answer."""
    shared = problems(UnauthorizedError, ForbiddenError, ValidationFailedError, ServiceUnavailableError)
    return APIRouter(prefix=f"{BASE}/{noun}" if noun else BASE, tags=[tag], responses=shared)
