"""What handlers ask for: the parts of the process, and a caller who may do it."""

from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.access import Caller, Scope, unauthorized
from app.audit_source import LONGEST_ADDRESS, Source, enter
from app.constants import EVERY_DISTRICT, AuditInterface
from app.factory import Factory
from app.reach import enter_district

bearer = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="JWT",
    description="A token of the identity provider, a service token, or one of `certsync token`.",
    auto_error=False,
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


async def get_factory(request: Request) -> Factory:
    """Return the parts that the lifespan built; async, since the framework runs what is not in a thread."""
    factory: Factory = request.app.state.factory
    return factory


FactoryDep = Annotated[Factory, Depends(get_factory)]


async def read_caller(credentials: Credentials, request: Request) -> Caller:
    """Return whom the bearer token speaks for; raises UnauthorizedError without a valid one.

    From here on the request reaches the rows of the caller's district and no others. It takes the factory
    itself: each dependency that others have in common is looked through for each of them.
    """
    if credentials is None:
        raise unauthorized()
    factory = await get_factory(request)
    caller = await factory.authentication.caller(credentials.credentials)
    request.state.verified = True  # also when the caller may not do what was asked
    enter_district(None if caller.district == EVERY_DISTRICT else caller.district)
    return caller


AnyCaller = Annotated[Caller, Depends(read_caller)]


@dataclass(frozen=True)
class Needs:
    """The rule of a route: only callers with this scope pass. Every route has one (docs/permissions.md)."""

    scope: Scope

    async def __call__(self, caller: AnyCaller, request: Request) -> Caller:
        """Return the caller; raises ForbiddenError."""
        caller.check(self.scope)
        factory = await get_factory(request)
        who = {"district": caller.district, "user": caller.user}
        request.state.log = who
        route = str(request.scope["route"].path_format)
        request.state.reading = factory.token_reads.reading(caller, request.method, route)
        structlog.contextvars.bind_contextvars(**who)
        enter(
            Source(
                caller.user,
                AuditInterface.API,
                address=request.client.host[:LONGEST_ADDRESS] if request.client else None,
                request_id=request.state.request_id,
                token_id=caller.service_token,
            )
        )
        return caller


RecordsReader = Annotated[Caller, Depends(Needs(Scope.RECORDS_READ))]
RecordsWriter = Annotated[Caller, Depends(Needs(Scope.RECORDS_WRITE))]
EmployeesReader = Annotated[Caller, Depends(Needs(Scope.EMPLOYEES_READ))]
EmployeesWriter = Annotated[Caller, Depends(Needs(Scope.EMPLOYEES_WRITE))]
TasksReader = Annotated[Caller, Depends(Needs(Scope.TASKS_READ))]
TasksWriter = Annotated[Caller, Depends(Needs(Scope.TASKS_WRITE))]
RunsReader = Annotated[Caller, Depends(Needs(Scope.RUNS_READ))]
RunsStarter = Annotated[Caller, Depends(Needs(Scope.RUNS_START))]
ConnectionReader = Annotated[Caller, Depends(Needs(Scope.CONNECTION_READ))]
ConnectionWriter = Annotated[Caller, Depends(Needs(Scope.CONNECTION_WRITE))]
TokensManager = Annotated[Caller, Depends(Needs(Scope.TOKENS_MANAGE))]
AuditReader = Annotated[Caller, Depends(Needs(Scope.AUDIT_READ))]
Operator = Annotated[Caller, Depends(Needs(Scope.DEPLOYMENT_READ))]

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The `ETag` that was read: the change is made only if that is still current.",
        examples=['"7"'],
    ),
]
