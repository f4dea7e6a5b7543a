"""Tells whom a bearer token speaks for, whoever issued it."""

import jwt
import structlog

from app.access import Caller, invalid_token, unauthorized
from app.constants import EVERY_DISTRICT, Role
from app.crypto import load_signing_key
from app.database import Database
from app.errors import ConfigurationError, ForbiddenError
from app.reach import within_district
from app.services import service_tokens
from app.services.districts import ID
from app.services.oidc import OidcTokens
from app.services.tokens import NAME, InstanceTokens
from app.settings import PREFIX, Settings
from app.storage import districts
from app.storage.provider_keys import ProviderKeys

log = structlog.get_logger()


class Authentication:
    """The ways to sign in that this deployment has: its identity provider, service tokens, its own tokens.

    Raises ConfigurationError in production when people could not sign in, or only with tokens of the
    instance itself without anybody having said so.
    """

    def __init__(self, settings: Settings, database: Database, watching: Database) -> None:
        if settings.oidc_issuer is None and not settings.takes_instance_tokens:
            raise ConfigurationError(
                f"{PREFIX}OIDC_ISSUER is not set: give the address of your identity provider, and "
                f"{PREFIX}OIDC_AUDIENCE. To sign in with tokens of `certsync token` alone, set "
                f"{PREFIX}ALLOW_INSTANCE_TOKENS=true"
            )
        self._database = database
        self._watching = watching
        self._signing_key = load_signing_key(settings) if settings.takes_instance_tokens else None
        self._instance = InstanceTokens(self._signing_key) if self._signing_key is not None else None
        self._here: set[str] = set()
        self.provider_keys: ProviderKeys | None = None
        self._oidc: OidcTokens | None = None
        if settings.oidc_issuer is not None:
            self.provider_keys = ProviderKeys(settings.oidc_issuer, settings.oidc_jwks_url)
            self._oidc = OidcTokens(settings, self.provider_keys)

    @property
    def signing_key(self) -> str:
        """The key of the instance's own tokens; raises ConfigurationError when it does not take any."""
        if self._signing_key is None:
            raise ConfigurationError(
                "This deployment takes tokens of its identity provider, and service tokens; not its own. "
                f"To take those too, set {PREFIX}ALLOW_INSTANCE_TOKENS=true"
            )
        return self._signing_key

    async def caller(self, token: str) -> Caller:
        """Return whom `token` speaks for, of a district that is known here.

        Raises UnauthorizedError when it does not verify, ForbiddenError and ServiceUnavailableError as
        `OidcTokens.read` does.
        """
        if token.startswith(service_tokens.PREFIX):
            of_deployment = token.startswith(f"{service_tokens.PREFIX}_")  # must get through when others wait
            return await service_tokens.read(self._watching if of_deployment else self._database, token)
        caller = await self._read(token)
        if caller.role is Role.OPS:
            if caller.district != EVERY_DISTRICT:
                raise ForbiddenError(f"A token of the role `ops` is for the district `{EVERY_DISTRICT}`.")
            return caller
        if not await self._is_here(caller.district):
            raise unauthorized("The token is for a district that is not here. Ask for a new one.")
        return caller

    async def _is_here(self, district_id: str) -> bool:
        """Tell whether there is a district of this id, which may be any text: drivers fail on some.

        Who was found is not looked for again: nothing deletes a district.
        """
        if district_id in self._here:
            return True
        if not ID.fullmatch(district_id):
            return False
        with within_district(district_id):
            async with self._database.read() as session:
                found = await districts.find(session, district_id) is not None
        if found:
            self._here.add(district_id)
        return found

    async def _read(self, token: str) -> Caller:
        if self._instance is not None and (self._oidc is None or _issuer(token) == NAME):
            return self._instance.read(token)
        assert self._oidc is not None  # there is one way at least
        return await self._oidc.read(token)

    def warn(self) -> None:
        """Log what an operator should know about the ways to sign in; called once at the start."""
        if self._signing_key is not None:
            log.warning(
                "instance_tokens_allowed",
                meaning="whoever may run `certsync token` on the server may issue any token",
                identity_provider=self._oidc is not None,
            )

    async def close(self) -> None:
        """Close the connections to the identity provider."""
        if self.provider_keys is not None:
            await self.provider_keys.close()


def _issuer(token: str) -> object:
    """Return the issuer that a token claims, which nothing has proved yet."""
    try:
        return jwt.decode(token, options={"verify_signature": False}).get("iss")
    except jwt.InvalidTokenError as error:
        raise invalid_token() from error
