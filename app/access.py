"""Who calls and what they may do: the one place where scopes and roles are defined (docs/api.md, Roles)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from app.constants import Role
from app.errors import ForbiddenError, UnauthorizedError

MAX_USER = 200
"""What the columns `run_by`, `created_by` and `updated_by` hold."""
SERVICE_PREFIX = "service:"
"""Begins the user id of a service token, and of nobody else: it could pass for one in the audit trail."""


class Scope(StrEnum):
    """What a route needs. A service token has the scopes it was given, a person those of a role."""

    RECORDS_READ = "records:read"
    RECORDS_WRITE = "records:write"
    EMPLOYEES_READ = "employees:read"
    EMPLOYEES_WRITE = "employees:write"
    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    RUNS_READ = "runs:read"
    RUNS_START = "runs:start"
    CONNECTION_READ = "connection:read"
    CONNECTION_WRITE = "connection:write"
    TOKENS_MANAGE = "tokens:manage"
    AUDIT_READ = "audit:read"
    DEPLOYMENT_READ = "deployment:read"


_VIEWER = frozenset(
    {Scope.RECORDS_READ, Scope.EMPLOYEES_READ, Scope.TASKS_READ, Scope.RUNS_READ, Scope.CONNECTION_READ}
)
_HR = _VIEWER | {Scope.RECORDS_WRITE}
_ADMIN = _HR | {
    Scope.EMPLOYEES_WRITE,
    Scope.TASKS_WRITE,
    Scope.RUNS_START,
    Scope.CONNECTION_WRITE,
    Scope.TOKENS_MANAGE,
    Scope.AUDIT_READ,
}
ROLE_SCOPES: Mapping[Role, frozenset[Scope]] = MappingProxyType(
    {
        Role.VIEWER: _VIEWER,
        Role.HR: _HR,
        Role.ADMIN: _ADMIN,
        Role.OPS: frozenset({Scope.DEPLOYMENT_READ}),
    }
)
"""Each role but `ops` may do what those before it may; `ops` sees no personal data."""
GRANTABLE = _ADMIN - {Scope.TOKENS_MANAGE}
"""What a district's service token may be given: none can make another, so revoking one ends it."""


@dataclass(frozen=True)
class Caller:
    """Whom a valid token speaks for.

    `role` is None for a service token, whose id is then `service_token`. `district` is `*` for who watches
    the whole deployment.
    """

    user: str
    district: str
    scopes: frozenset[Scope]
    role: Role | None = None
    service_token: UUID | None = None

    def check(self, scope: Scope) -> None:
        """Raise ForbiddenError when the caller may not do what needs `scope`."""
        if scope in self.scopes:
            return
        if self.role is None:
            raise ForbiddenError(f"This needs the scope `{scope}`, which your service token was not given.")
        least = next(role for role, scopes in ROLE_SCOPES.items() if scope in scopes)
        raise ForbiddenError(f"This needs the role `{least}`; your token has `{self.role}`.")


def is_user(user: object) -> bool:
    """Tell whether a token may name its user so."""
    return (
        isinstance(user, str)
        and 0 < len(user) <= MAX_USER
        and user.isprintable()
        and not user.startswith(SERVICE_PREFIX)
    )


def unauthorized(detail: str = "Send a token as `Authorization: Bearer …`.") -> UnauthorizedError:
    """Return the error with the challenge that RFC 6750 asks for."""
    return UnauthorizedError(detail, headers={"WWW-Authenticate": "Bearer"})


def invalid_token() -> UnauthorizedError:
    """Return the refusal of a token that does not verify, the same whatever is wrong: it guides no guess."""
    return unauthorized("The token is not valid here. Ask for a new one.")
