"""The connection tried out by a person: as an import would use it, or for the host keys of any server."""

from dataclasses import dataclass, field, replace

import structlog

from app.constants import ConnectionAction
from app.crypto import DecryptionError
from app.database import Database
from app.errors import ConflictError, NotFoundError
from app.failures import RunFailure
from app.pipeline.attempts import Attempts
from app.pipeline.connection_trail import Actor
from app.pipeline.layout import Layout, LayoutError
from app.services.idempotency import NO_KEY, Once
from app.services.run_execution import layout_of
from app.services.sftp_connection import locked
from app.storage import districts
from app.storage.fingerprints import OfferedKey
from app.storage.sftp import RemoteFile
from app.storage.ssh_scan import asking, scan_host_keys

TEST_SECONDS = 30.0
"""For listing in a test: somebody waits for the answer."""

log = structlog.get_logger()


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


class ConnectionTrials:
    """Tests and scans. Neither a stop nor a back-off keeps them from trying: a person asked for it."""

    def __init__(self, database: Database, attempts: Attempts) -> None:
        self._database = database
        self._attempts = attempts

    async def test(self, district_id: str, user: str, once: Once = NO_KEY) -> Trial:
        """Connect as an import would and list the directory; the attempt is recorded like any other."""
        await once.recall(self._database)
        result = await self._test(district_id, user)
        await once.remember(self._database, result)
        return result

    async def _test(self, district_id: str, user: str) -> Trial:
        layout = await self._layout(district_id)
        limits = replace(self._attempts.limits, transfer=TEST_SECONDS)
        actor = Actor(district_id, ConnectionAction.TEST, user)
        try:
            loaded = await self._attempts.load(district_id)
            async with self._attempts.session(loaded, actor, limits) as session:
                return Trial(files=await session.list_files(layout.datestamp))
        except DecryptionError as error:
            raise locked(error) from error
        except RunFailure as failure:
            return Trial(failure=failure)

    async def scan(self, district_id: str, user: str, host: str, port: int, once: Once = NO_KEY) -> Trial:
        """Return the host keys that a server offers; no credential is sent. It is recorded with who asked."""
        await once.recall(self._database)
        attempt = asking(host, port, self._attempts.limits)
        try:
            result = Trial(host_keys=await scan_host_keys(attempt, self._attempts.limits))
        except RunFailure as failure:
            result = Trial(failure=failure)
        actor = Actor(district_id, ConnectionAction.SCAN, user)
        await self._attempts.record(actor, attempt, result.failure)
        await once.remember(self._database, result)
        return result

    async def _layout(self, district_id: str) -> Layout:
        async with self._database.read() as session:
            district = await districts.find(session, district_id)
        if district is None:
            raise NotFoundError("There is no such district.")
        try:
            return layout_of(district)
        except LayoutError as error:
            raise ConflictError(f"The licence file of the district cannot be recognised: {error}.") from error
