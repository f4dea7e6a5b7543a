"""What handlers ask for: the parts of the process, and the caller in a sufficient role."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import structlog
from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.constants import EVERY_DISTRICT, Role
from app.errors import ForbiddenError
from app.factory import Factory
from app.services.districts import district_exists
from app.services.tokens import Caller, read_token, unauthorized

RANK = {Role.VIEWER: 1, Role.HR: 2, Role.ADMIN: 3}
"""Each role may do what those before it may. `ops` is not among them: it sees no personal data."""

bearer = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="JWT",
    description="A token with the claims `sub`, `district` and `role`; `certsync token` issues one.",
    auto_error=False,
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


def get_factory(request: Request) -> Factory:
    """Return the parts that the lifespan built."""
    factory: Factory = request.app.state.factory
    return factory


FactoryDep = Annotated[Factory, Depends(get_factory)]


def read_caller(factory: FactoryDep, credentials: Credentials) -> Caller:
    """Return whom the bearer token speaks for; raises UnauthorizedError without a valid one."""
    if credentials is None:
        raise unauthorized()
    return read_token(factory.signing_key, credentials.credentials)


AnyCaller = Annotated[Caller, Depends(read_caller)]


def at_least(role: Role) -> Callable[..., Awaitable[Caller]]:
    """Return the dependency that lets pass only callers of this role or a higher one, of a known district."""

    async def authorize(factory: FactoryDep, caller: AnyCaller, request: Request) -> Caller:
        if RANK.get(caller.role, 0) < RANK[role]:
            raise ForbiddenError(f"This needs the role `{role.value}`; your token has `{caller.role.value}`.")
        if not await district_exists(factory.database, caller.district):
            raise unauthorized("The token is for a district that is not here. Ask for a new one.")
        request.state.log = who = {"district": caller.district, "user": caller.user}
        structlog.contextvars.bind_contextvars(**who)
        return caller

    return authorize


async def authorize_operator(caller: AnyCaller, request: Request) -> Caller:
    """Let pass only who watches the whole deployment; other roles see their district."""
    if caller.role is not Role.OPS or caller.district != EVERY_DISTRICT:
        raise ForbiddenError(f"This needs the role `ops`; your token has `{caller.role.value}`.")
    request.state.log = who = {"user": caller.user}
    structlog.contextvars.bind_contextvars(**who)
    return caller


Viewer = Annotated[Caller, Depends(at_least(Role.VIEWER))]
Hr = Annotated[Caller, Depends(at_least(Role.HR))]
Admin = Annotated[Caller, Depends(at_least(Role.ADMIN))]
Operator = Depends(authorize_operator)

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The `ETag` that was read: the change is made only if that is still current.",
        examples=['"7"'],
    ),
]
