"""What all routers under the base path share."""

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute

from app.api.json_body import JsonRoute
from app.api.problems import problems
from app.api.schemas.queries import REPEATABLE
from app.errors import (
    FieldError,
    ForbiddenError,
    RateLimitedError,
    ServiceUnavailableError,
    UnauthorizedError,
    ValidationFailedError,
)

BASE = "/api/v1"


async def refuse_repeated(request: Request) -> None:
    """Refuse a parameter that is given several times where one value counts: which one was meant?"""
    names = [name for name, _ in request.query_params.multi_items()]
    if twice := {name for name in names if names.count(name) > 1} - REPEATABLE:
        raise ValidationFailedError(
            "A parameter is given several times.",
            errors=[FieldError(("query", name), "may be given once", "repeated") for name in sorted(twice)],
        )


def operation_id(route: APIRoute) -> str:
    """Return what clients that are generated from the document call an operation."""
    return route.name


def api_router(noun: str, *, tag: str) -> APIRouter:
    """Return a router for `/api/v1/<noun>` that documents what every route can answer."""
    shared = problems(
        UnauthorizedError,
        ForbiddenError,
        ValidationFailedError,
        RateLimitedError,
        ServiceUnavailableError,
    )
    return APIRouter(
        prefix=f"{BASE}/{noun}" if noun else BASE,
        tags=[tag],
        responses=shared,
        dependencies=[Depends(refuse_repeated)],
        route_class=JsonRoute,
        generate_unique_id_function=operation_id,
    )
