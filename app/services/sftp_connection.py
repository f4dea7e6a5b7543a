"""The connection to the state's server: saved, shown without secrets, tried out (I11)."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from app.constants import ConnectionPhase
from app.crypto import Cipher, DecryptionError
from app.database import Database
from app.errors import (
    ConflictError,
    FieldError,
    NotFoundError,
    ServiceUnavailableError,
    ValidationFailedError,
)
from app.failures import RunFailure
from app.models import SftpConnection
from app.models.base import utc_now
from app.pipeline.fetch import sftp_limits
from app.pipeline.layout import Layout, LayoutError
from app.services.idempotency import NO_KEY, Once
from app.services.preconditions import check_if_match
from app.services.run_execution import layout_of
from app.settings import Settings
from app.storage import connection_events, districts, sftp_connection
from app.storage.pages import Page, PageRequest
from app.storage.sftp import OfferedKey, RemoteFile, SftpTarget, check_private_key, open_sftp, scan_host_keys
from app.storage.versions import next_version

SECRETS = ("password", "private_key")
IDENTITY = ("host", "port", "username", "fingerprint")
"""While these stay the same, a stored secret still goes to the server that it was given for."""
TEST_SECONDS = 30.0
"""For listing in a test: somebody waits for the answer."""

log = structlog.get_logger()


@dataclass(frozen=True)
class ShownConnection:
    """A connection without its secrets."""

    host: str
    port: int
    username: str
    has_password: bool
    has_private_key: bool
    fingerprint: str
    directory: str
    version: int


@dataclass(frozen=True)
class Trial:
    """What a test or a scan gave; `failure` is None when it went well."""

    files: list[RemoteFile] = field(default_factory=list)
    host_keys: list[OfferedKey] = field(default_factory=list)
    failure: RunFailure | None = None

    @property
    def ok(self) -> bool:
        """Whether it went well."""
        return self.failure is None


class SftpConnectionService:
    """The use cases of the connection; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database, cipher: Cipher, settings: Settings) -> None:
        self._database = database
        self._cipher = cipher
        self._limits = sftp_limits(settings)

    async def get(self, district_id: str) -> ShownConnection:
        """Return the connection without secrets; raises NotFoundError when none is saved."""
        async with self._database.read() as session:
            row = await sftp_connection.find(session, district_id)
        if row is None:
            raise NotFoundError("No connection is saved for your district.")
        return self._shown(row)

    async def target(self, district_id: str) -> SftpTarget:
        """Return how to reach the state's server; raises SftpNotConfigured."""
        async with self._database.read() as session:
            try:
                return await sftp_connection.load_target(session, self._cipher, district_id)
            except DecryptionError as error:
                raise _locked(error) from error

    async def put(
        self, district_id: str, user: str, fields: Mapping[str, Any], if_match: str | None
    ) -> tuple[ShownConnection, bool]:
        """Save the connection; the second result tells whether it is the first of the district.

        `fields` are those of api.md; a secret that is not among them is kept while the server and the user
        stay the same. Raises ValidationFailedError, PreconditionFailedError, and ConflictError when somebody
        else saves at the same moment.
        """
        async with self._database.read() as session:
            seen = await sftp_connection.find(session, district_id)
        check_if_match(if_match, seen.version if seen else None)
        target = self._merge(seen, fields)
        await _check_key(target)  # slow by design, so outside the transaction
        async with self._database.write() as session:
            row = await sftp_connection.find(session, district_id, to_change=True)
            if (row and row.version) != (seen and seen.version):
                raise ConflictError("Somebody else saved the connection at the same moment. Read it again.")
            version = await next_version(await session.connection())
            sealed = sftp_connection.seal(self._cipher, district_id, target)
            values = {**sealed, "updated_by": user, "updated_at": utc_now(), "version": version}
            row = row or SftpConnection(district_id=district_id, **values)
            row.sqlmodel_update(values)
            session.add(row)
        log.info("connection_saved", district=district_id, version=row.version)
        return self._shown(row), seen is None

    async def test(self, district_id: str, once: Once = NO_KEY) -> Trial:
        """Connect as an import would and list the directory; the attempt is recorded like any other."""
        await once.recall(self._database)
        result = await self._test(district_id)
        await once.remember(self._database, result)
        return result

    async def _test(self, district_id: str) -> Trial:
        layout = await self._layout(district_id)
        try:
            target = await self.target(district_id)
        except RunFailure as failure:
            return Trial(failure=failure)
        result = await self._try(target, layout)
        async with self._database.write() as session:
            await connection_events.record_event(
                session,
                self._cipher,
                target,
                district_id=district_id,
                run_id=None,
                outcome=result.failure or ConnectionPhase.LIST,
            )
        return result

    async def _try(self, target: SftpTarget, layout: Layout) -> Trial:
        try:
            async with open_sftp(target, replace(self._limits, transfer=TEST_SECONDS)) as session:
                return Trial(files=await session.list_files(layout.datestamp))
        except RunFailure as failure:
            return Trial(failure=failure)

    async def scan(self, district_id: str, host: str, port: int, once: Once = NO_KEY) -> Trial:
        """Return the host keys that a server offers; no credential is sent."""
        await once.recall(self._database)
        try:
            result = Trial(host_keys=await scan_host_keys(host, port, self._limits))
        except RunFailure as failure:
            log.warning("connection_scan_failed", district=district_id, failure_code=failure.code)
            result = Trial(failure=failure)
        await once.remember(self._database, result)
        return result

    async def events(self, district_id: str, request: PageRequest) -> Page[connection_events.OpenedEvent]:
        """Return a page of attempts, the newest first."""
        async with self._database.read() as session:
            try:
                return await connection_events.page(session, self._cipher, district_id, request)
            except DecryptionError as error:
                raise _locked(error) from error

    def _shown(self, row: SftpConnection) -> ShownConnection:
        try:
            target = sftp_connection.open_row(self._cipher, row)
        except DecryptionError as error:
            raise _locked(error) from error
        return ShownConnection(
            host=target.host,
            port=target.port,
            username=target.username,
            has_password=target.password is not None,
            has_private_key=target.private_key is not None,
            fingerprint=target.fingerprint,
            directory=target.directory,
            version=row.version,
        )

    def _merge(self, stored: SftpConnection | None, fields: Mapping[str, Any]) -> SftpTarget:
        """Return the connection to save, with the stored secrets that it may keep."""
        known: SftpTarget | None = None
        if stored is not None:
            with suppress(DecryptionError):  # what cannot be read can only be replaced
                known = sftp_connection.open_row(self._cipher, stored)
        same = known is not None and all(getattr(known, name) == fields[name] for name in IDENTITY)
        secrets: dict[str, Any] = {}
        for name in SECRETS:
            kept = getattr(known, name) if known is not None and name not in fields else None
            if kept is not None and not same:
                raise _invalid(
                    name, "is required again when host, port, username or fingerprint change; null removes it"
                )
            secrets[name] = kept or fields.get(name)
        if not any(secrets.values()):
            raise _invalid("password", "is required, or a private key instead")
        return SftpTarget(**{**fields, **secrets})

    async def _layout(self, district_id: str) -> Layout:
        async with self._database.read() as session:
            district = await districts.find(session, district_id)
        if district is None:
            raise NotFoundError("There is no such district.")
        try:
            return layout_of(district)
        except LayoutError as error:
            raise ConflictError(f"The licence file of the district cannot be recognised: {error}.") from error


async def _check_key(target: SftpTarget) -> None:
    if target.private_key is None:
        return
    passphrase = target.password.get_secret_value() if target.password else None
    try:
        await asyncio.to_thread(check_private_key, target.private_key.get_secret_value(), passphrase)
    except ValueError as error:
        raise _invalid("private_key", str(error)) from None  # the key must not get into a traceback


def _invalid(name: str, text: str) -> ValidationFailedError:
    return ValidationFailedError(f"{name}: {text}.", errors=[FieldError(("body", name), text)])


def _locked(error: DecryptionError) -> ServiceUnavailableError:
    log.error("connection_not_decrypted", reason=str(error))
    return ServiceUnavailableError(
        "The stored connection cannot be decrypted. An operator has to restore the key that is missing in "
        "CERTSYNC_ENCRYPTION_KEYS, or an administrator saves the connection again."
    )
