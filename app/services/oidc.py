"""Verifies the tokens of the identity provider, and reads district and role from their claims."""

import time
from collections.abc import Collection
from typing import Any

import jwt
import structlog

from app.access import ROLE_SCOPES, Caller, invalid_token, is_user, unauthorized
from app.constants import EVERY_DISTRICT, Role
from app.errors import ForbiddenError, ServiceUnavailableError
from app.settings import Settings
from app.storage.provider_keys import ProviderKey, ProviderKeys, ProviderUnavailable

TYPES = ("jwt", "at+jwt", "application/at+jwt")
"""Values of the header `typ` that an access token has, if any (RFC 9068, section 4; RFC 8725, 3.11)."""
REQUIRED = ("iss", "aud", "exp", "iat")
MAX_GROUPS = 1000
KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""The kind of key that an algorithm takes, by how its name begins (RFC 7518, RFC 8037)."""
RETRY_SECONDS = 10

log = structlog.get_logger()


class OidcTokens:
    """Reads tokens of one issuer, by the claims that the settings name."""

    def __init__(self, settings: Settings, keys: ProviderKeys) -> None:
        self._settings = settings
        self._keys = keys

    async def read(self, token: str) -> Caller:
        """Return whom the token speaks for.

        Raises UnauthorizedError when it does not verify, ForbiddenError when it names no district or role
        of ours, ServiceUnavailableError when the provider's keys cannot be had.
        """
        return self._caller(await self._verified(token))

    async def _verified(self, token: str) -> dict[str, Any]:
        """Return the claims of a token whose signature, times, issuer and audience are right."""
        settings = self._settings
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.find(header.get("kid"))
            if key is None or not _fits(header, key, settings.oidc_algorithms):
                log.info("token_refused", reason="key_or_algorithm")
                raise invalid_token()
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[header["alg"]],
                issuer=settings.oidc_issuer,
                audience=settings.oidc_audience,
                leeway=settings.oidc_leeway,
                options={"require": list(REQUIRED), "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError as error:
            raise unauthorized("The token has expired. Ask for a new one.") from error
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, TypeError) as error:  # the last: no key for it
            log.info("token_refused", reason=type(error).__name__)
            raise invalid_token() from error
        except ProviderUnavailable as error:
            raise ServiceUnavailableError(
                "The identity provider cannot be reached, so tokens cannot be checked. Try again shortly.",
                headers={"Retry-After": str(RETRY_SECONDS)},
            ) from error
        if time.time() - int(claims["iat"]) > settings.oidc_max_token_hours * 3600 + settings.oidc_leeway:
            raise unauthorized("The token was issued too long ago to count here. Sign in again.")
        return claims

    def _caller(self, claims: dict[str, Any]) -> Caller:
        settings = self._settings
        for name, values in settings.oidc_required_claims.items():
            if not set(values) & set(_texts(_claim(claims, name))):
                raise ForbiddenError(
                    f"The token's claim `{name}` has none of the values that this service asks for. Sign in "
                    "in the way that your organisation asks for, or ask your administrator."
                )
        user = _claim(claims, settings.oidc_user_claim)
        if not is_user(user):
            raise unauthorized(f"The token's claim `{settings.oidc_user_claim}` is not usable as a user id.")
        role = self._role(claims)
        district = EVERY_DISTRICT if role is Role.OPS else self._district(claims)
        return Caller(str(user), district, ROLE_SCOPES[role], role)

    def _role(self, claims: dict[str, Any]) -> Role:
        """Return the highest role that the claim stands for; `ops` only for who has no other."""
        name, known = self._settings.oidc_role_claim, self._settings.oidc_roles
        held = {known[value] for value in _texts(_claim(claims, name)) if value in known}
        for role in (Role.ADMIN, Role.HR, Role.VIEWER, Role.OPS):
            if role in held:
                return role
        raise ForbiddenError(f"The token's claim `{name}` gives you no role here. Ask your administrator.")

    def _district(self, claims: dict[str, Any]) -> str:
        """Return the one district that the claim stands for: a token is for one."""
        settings = self._settings
        if settings.oidc_district is not None:
            return settings.oidc_district
        name, known = settings.oidc_district_claim, settings.oidc_districts
        values = _texts(_claim(claims, name))
        held = {known[value] for value in values if value in known} if known else set(values)
        if len(held) == 1 and EVERY_DISTRICT not in held:
            return held.pop()
        which = "more than one district" if held else "no district of this service"
        raise ForbiddenError(f"The token's claim `{name}` names {which}. Ask your administrator.")


def _fits(header: dict[str, Any], key: ProviderKey, allowed: Collection[str]) -> bool:
    """Tell whether algorithm and type are allowed, and the algorithm is the key's, if that names one."""
    algorithm = str(header.get("alg"))
    kind = header.get("typ", "JWT")
    return (
        algorithm in allowed
        and key.algorithm in (None, algorithm)
        and key.kind == KINDS[algorithm[:2]]
        and isinstance(kind, str)
        and kind.lower() in TYPES
    )


def _claim(claims: dict[str, Any], name: str) -> object:
    """Return a claim by its whole name, else by a path with dots: `realm_access.roles`."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _texts(value: object) -> list[str]:
    """Return the texts of a claim that is one text, or a list of some."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [item for item in value[:MAX_GROUPS] if isinstance(item, str)]
    return []
