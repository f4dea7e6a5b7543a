"""Issues and reads bearer tokens: who calls, for which district, in which role (api.md, Roles)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt

from app.constants import Role
from app.errors import UnauthorizedError

ALGORITHM = "HS256"
NAME = "certsync"
"""Issuer and audience, so that a token another service signed with the same key is not taken for ours."""
CLAIMS = ("sub", "district", "role", "exp", "iat", "aud", "iss")
MAX_USER = 200
"""What the columns `run_by`, `created_by` and `updated_by` hold."""


@dataclass(frozen=True)
class Caller:
    """Whom a valid token speaks for."""

    user: str
    district: str
    role: Role


def issue_token(signing_key: str, user: str, role: Role, district: str, ttl: timedelta) -> str:
    """Return a signed token that is valid from now for `ttl`.

    Raises ValueError when the user id is empty, too long or not printable.
    """
    if not _is_user(user):
        raise ValueError(f"A user id has 1 to {MAX_USER} printable characters")
    now = datetime.now(UTC)
    claims = {
        "sub": user,
        "district": district,
        "role": role.value,
        "iat": now,
        "exp": now + ttl,
        "aud": NAME,
        "iss": NAME,
    }
    return jwt.encode(claims, signing_key, algorithm=ALGORITHM)


def read_token(signing_key: str, token: str) -> Caller:
    """Return whom the token speaks for; raises UnauthorizedError with the reason when it does not verify."""
    try:
        claims = jwt.decode(
            token,
            signing_key,
            algorithms=[ALGORITHM],
            audience=NAME,
            issuer=NAME,
            options={"require": list(CLAIMS)},
        )
        user, district, role = claims["sub"], claims["district"], Role(claims["role"])
    except jwt.ExpiredSignatureError as error:
        raise unauthorized("The token has expired. Ask for a new one.") from error
    except (jwt.InvalidTokenError, ValueError) as error:
        raise unauthorized("The token is not valid here. Ask for a new one.") from error
    if not (_is_user(user) and isinstance(district, str)):
        raise unauthorized("The token's `sub` or `district` is not usable. Ask for a new one.")
    return Caller(user=user, district=district, role=role)


def unauthorized(detail: str = "Send a token as `Authorization: Bearer …`.") -> UnauthorizedError:
    """Return the error with the challenge that RFC 6750 asks for."""
    return UnauthorizedError(detail, headers={"WWW-Authenticate": "Bearer"})


def _is_user(user: object) -> bool:
    return isinstance(user, str) and 0 < len(user) <= MAX_USER and user.isprintable()
