"""Service tokens: how integrators' programs sign in, each with the scopes it was given, until it expires."""

import hashlib
import hmac
import secrets
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access import GRANTABLE, SERVICE_PREFIX, Caller, Scope, invalid_token, unauthorized
from app.constants import EVERY_DISTRICT, AuditAction, AuditRecord
from app.database import Database
from app.errors import ConflictError, FieldError, NotFoundError, ValidationFailedError
from app.models import ServiceToken
from app.models.base import utc_now
from app.reach import everywhere, within_district
from app.services.idempotency import NO_KEY, Once
from app.storage import audit_events, service_tokens
from app.storage.audit_events import Change
from app.storage.pages import Page, PageRequest

PREFIX = "cst_"
"""Begins every service token, so that scanners of repositories and logs know one."""
SECRET_BYTES = 32
MAX_NAME = 100
DEFAULT_LIFE = timedelta(days=90)
LONGEST_LIFE = timedelta(days=366)
"""A token that nobody has to renew is forgotten, and then found by somebody else."""

TOKEN = AuditRecord.SERVICE_TOKEN

log = structlog.get_logger()


@dataclass(frozen=True)
class IssuedToken:
    """A token that was just made. `token` is shown now and never again."""

    row: ServiceToken
    token: str | None


async def read(database: Database, text: str) -> Caller:
    """Return whom a service token speaks for; raises UnauthorizedError when it is none, or not any more.

    It reads `cst_<district>_<id>_<secret>`, the district empty for one of the deployment.
    """
    district, token_id, secret = _parts(text)
    with _reaching(district):
        async with database.read() as session:
            row = await service_tokens.find(session, district, token_id)
    if row is None or not hmac.compare_digest(row.secret_hash, _hash(secret)):
        raise invalid_token()
    if row.revoked_at is not None:
        raise unauthorized("The service token was revoked. Ask an administrator for a new one.")
    if row.expires_at <= utc_now():
        raise unauthorized("The service token has expired. Ask an administrator for a new one.")
    return Caller(
        user=f"{SERVICE_PREFIX}{row.name}",
        district=row.district_id or EVERY_DISTRICT,
        scopes=frozenset(Scope(scope) for scope in row.scopes if scope in set(Scope)),
        service_token=row.id,
    )


class ServiceTokenService:
    """The use cases of service tokens. `district_id` is None for those that watch the whole deployment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        district_id: str | None,
        user: str,
        name: str,
        scopes: Collection[Scope],
        expires_at: datetime | None,
        once: Once = NO_KEY,
    ) -> IssuedToken:
        """Make a token that is valid from now on.

        Raises ValidationFailedError for scopes or an expiry that it cannot have, ConflictError when a valid
        one has the name.
        """
        now = utc_now()
        expires_at = expires_at or now + DEFAULT_LIFE
        _check(district_id, name, scopes, expires_at - now)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        row = ServiceToken(
            district_id=district_id,
            name=name,
            scopes=sorted(scopes),
            secret_hash=_hash(secret),
            created_by=user,
            created_at=now,
            expires_at=expires_at,
        )
        try:
            with _reaching(district_id):
                async with self._database.write() as session:
                    await once.begin(session)
                    session.add(row)
                    await session.flush()
                    after = {"name": name, "scopes": row.scopes, "expires_at": expires_at, "created_by": user}
                    await _audit(session, row, Change(AuditAction.ADDED, TOKEN, row.id, None, after))
                    await once.end(session, IssuedToken(row, None))  # what is stored must not have the secret
        except IntegrityError as error:
            raise ConflictError(
                f"A service token that is not revoked has the name {name!r}. Revoke it, or give another name."
            ) from error
        log.info("service_token_created", token_id=str(row.id), district=district_id, scopes=row.scopes)
        return IssuedToken(row, f"{PREFIX}{district_id or ''}_{row.id.hex}_{secret}")

    async def page(self, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
        """Return a page of the district's tokens."""
        async with self._database.look() as connection:
            return await service_tokens.page(connection, district_id, request)

    async def list(self, district_id: str | None) -> list[ServiceToken]:
        """Return all tokens."""
        with _reaching(district_id):
            async with self._database.read() as session:
                return await service_tokens.all_tokens(session, district_id)

    async def get(self, district_id: str | None, token_id: UUID) -> ServiceToken:
        """Return a token; raises NotFoundError."""
        with _reaching(district_id):
            async with self._database.read() as session:
                row = await service_tokens.find(session, district_id, token_id)
        if row is None:
            raise NotFoundError("There is no such service token.")
        return row

    async def revoke(self, district_id: str | None, token_id: UUID, user: str) -> None:
        """End a token for good, from its next request on; a second time changes nothing.

        Raises NotFoundError.
        """
        row = await self.get(district_id, token_id)
        with _reaching(district_id):
            async with self._database.write() as session:
                ended = await service_tokens.revoke(session, district_id, token_id, user, utc_now())
                if ended:
                    after = {"name": row.name, "revoked_by": user}
                    await _audit(session, row, Change(AuditAction.REVOKED, TOKEN, token_id, None, after))
        if ended:
            log.info("service_token_revoked", token_id=str(token_id), district=district_id)


async def _audit(session: AsyncSession, row: ServiceToken, change: Change) -> None:
    """Record what became of a token; that of one of the deployment in every district, which it sees too."""
    connection = await session.connection()
    if row.district_id is not None:
        await audit_events.record(connection, row.district_id, change)
    else:
        await audit_events.record_everywhere(connection, change)


def _reaching(district_id: str | None) -> AbstractContextManager[None]:
    """Reach the tokens of one district, or those of the deployment, which are no district's."""
    return everywhere() if district_id is None else within_district(district_id)


def _check(district_id: str | None, name: str, scopes: Collection[Scope], life: timedelta) -> None:
    """Raise ValidationFailedError naming each thing that a token cannot have."""
    allowed = {Scope.DEPLOYMENT_READ} if district_id is None else GRANTABLE
    faults = [
        FieldError(("body", "scopes"), f"`{scope}` cannot be given to this token")
        for scope in sorted(set(scopes) - allowed)
    ]
    if not (0 < len(name) <= MAX_NAME and name.isprintable()):
        faults.append(FieldError(("body", "name"), f"must be 1 to {MAX_NAME} printable characters"))
    if not scopes:
        faults.append(FieldError(("body", "scopes"), "name at least one"))
    if not timedelta() < life <= LONGEST_LIFE:
        faults.append(
            FieldError(
                ("body", "expires_at"), f"must be within {LONGEST_LIFE.days} days from now, and not past"
            )
        )
    if faults:
        raise ValidationFailedError("The service token cannot be made.", errors=faults)


def _parts(text: str) -> tuple[str | None, UUID, str]:
    """Return district, id and secret; raises UnauthorizedError when it has not the form."""
    try:
        district, token_id, secret = text.removeprefix(PREFIX).split("_", 2)
        found = UUID(hex=token_id)
    except ValueError as error:
        raise invalid_token() from error
    if found.hex != token_id:  # one token has one spelling, by which its requests are counted
        raise invalid_token()
    return district or None, found, secret


def _hash(secret: str) -> str:
    """Return what is stored; without salt or stretching, which 256 random bits do not need."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
