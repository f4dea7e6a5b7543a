"""Issues and reads the tokens that this instance signs itself, with `certsync token`."""

import hashlib
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta

import jwt

from app.access import MAX_USER, ROLE_SCOPES, SERVICE_PREFIX, Caller, invalid_token, is_user, unauthorized
from app.constants import Role

ALGORITHM = "HS256"
NAME = "certsync"
"""Issuer and audience, so that a token another service signed with the same key is not taken for ours."""
MOST_VERIFIED = 1_000
"""Tokens that one process remembers."""
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


class InstanceTokens:
    """Reads tokens that are signed with one key, and remembers those that did verify: they verify again.

    Nothing but its expiry ends such a token, which is looked at each time. Only a hash of it is kept.
    """

    def __init__(self, signing_key: str) -> None:
        self._signing_key = signing_key
        self._verified: OrderedDict[bytes, tuple[Caller, int]] = OrderedDict()

    def read(self, token: str) -> Caller:
        """Return whom the token speaks for.

        Raises UnauthorizedError with the reason when it does not verify.
        """
        key = hashlib.sha256(token.encode()).digest()
        caller, expires = self._verified.get(key, (None, 0))
        if caller is None or expires <= time.time():
            self._verified.pop(key, None)
            caller, expires = _read(self._signing_key, token)
            self._verified[key] = caller, expires
            if len(self._verified) > MOST_VERIFIED:
                self._verified.popitem(last=False)
        return caller


def _read(signing_key: str, token: str) -> tuple[Caller, int]:
    """Return whom the token speaks for, and when it expires; raises UnauthorizedError as above."""
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
    return Caller(user, district, ROLE_SCOPES[role], role), int(claims["exp"])
