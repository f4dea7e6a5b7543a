"""Issues and reads the tokens that this instance signs itself, with `certsync token`."""

from datetime import UTC, datetime, timedelta

import jwt

from app.access import MAX_USER, ROLE_SCOPES, SERVICE_PREFIX, Caller, invalid_token, is_user, unauthorized
from app.constants import Role

ALGORITHM = "HS256"
NAME = "certsync"
"""Issuer and audience, so that a token another service signed with the same key is not taken for ours."""
CLAIMS = ("sub", "district", "role", "exp", "iat", "aud", "iss")


def issue_token(signing_key: str, user: str, role: Role, district: str, ttl: timedelta) -> str:
    """Return a signed token that is valid from now for `ttl`.

    Raises ValueError when the user id is empty, too long, not printable, or one of service tokens.
    """
    if not is_user(user):
        raise ValueError(
            f"A user id has 1 to {MAX_USER} printable characters and does not begin with {SERVICE_PREFIX!r}"
        )
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
        raise invalid_token() from error
    if not (is_user(user) and isinstance(district, str)):
        raise unauthorized("The token's `sub` or `district` is not usable. Ask for a new one.")
    return Caller(user, district, ROLE_SCOPES[role], role)
