"""The connection to the state's server: saved, shown without secrets, its host key accepted (I11, B4)."""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any
from uuid import UUID

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access import SERVICE_PREFIX
from app.constants import AuditAction, AuditRecord, ConnectionAction
from app.crypto import Cipher, DecryptionError
from app.database import Database
from app.errors import (
    ConflictError,
    NotFoundError,
    SecondPersonNeededError,
    ServiceUnavailableError,
)
from app.models import SftpConnection
from app.models.base import utc_now
from app.pipeline.attempts import Attempts
from app.pipeline.connection_trail import Actor, event_of
from app.services.connection_changes import added_pins, changed_fields, check_key, merge, with_pin
from app.services.idempotency import NO_KEY, Once
from app.services.preconditions import check_if_match
from app.services.shown_connection import ShownConnection, shown
from app.settings import Settings
from app.storage import audit_events, connection_state, sftp_connection
from app.storage.audit_events import Change
from app.storage.connection_events import OpenedEvent
from app.storage.sftp_connection import Proposed
from app.storage.ssh_attempt import SftpTarget
from app.storage.versions import next_version

log = structlog.get_logger()


class Saving(Enum):
    """What became of a connection that was to be saved."""

    FIRST = "first"
    REPLACED = "replaced"
    PROPOSED = "proposed"


class SftpConnectionService:
    """The use cases of the connection; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database, cipher: Cipher, settings: Settings, attempts: Attempts) -> None:
        self._database = database
        self._cipher = cipher
        self._attempts = attempts
        self._second_person = settings.host_key_second_person

    async def get(self, district_id: str) -> ShownConnection:
        """Return the connection without secrets; raises NotFoundError when none is saved."""
        async with self._database.read() as session:
            row = await sftp_connection.find(session, district_id)
            if row is None:
                raise _nothing_saved()
            return await self._shown(session, row)

    async def put(
        self, district_id: str, user: str, fields: Mapping[str, Any], if_match: str | None
    ) -> tuple[ShownConnection, Saving]:
        """Save the connection, or propose it where another pin needs a second person.

        `fields` are those of api.md; a secret that is not among them is kept while the server and the user
        stay the same. Raises ValidationFailedError, PreconditionFailedError, and ConflictError when somebody
        else saves at the same moment.
        """
        async with self._database.read() as session:
            seen = await sftp_connection.find(session, district_id)
        check_if_match(if_match, seen.version if seen else None)
        known: SftpTarget | None = None
        if seen is not None:
            try:
                known = sftp_connection.open_row(self._cipher, seen)
            except DecryptionError as error:  # what cannot be read can only be replaced
                if self._second_person:  # which would add a pin that nobody confirmed
                    raise locked(error) from error
        target = merge(known, fields)
        await check_key(target)  # slow by design, so outside the transaction
        async with self._database.write() as session:
            row = await self._unchanged(session, district_id, seen)
            if row is not None and known is not None and self._second_person and added_pins(known, target):
                event = await self._propose(session, row, known, target, user)
                saving = Saving.PROPOSED
            else:
                saving = Saving.REPLACED if row else Saving.FIRST
                actor = Actor(district_id, ConnectionAction.SAVED, user)
                row, event = await self._save(session, row, known, target, actor)
            answer = await self._shown(session, row)
        self._attempts.tell(event)
        return answer, saving

    async def accept(
        self, district_id: str, user: str, fingerprint: str, proposal_id: UUID | None, once: Once = NO_KEY
    ) -> ShownConnection:
        """Make a host key the pinned one, or confirm what another person proposed; secrets stay.

        It is one that the server offered when the connection was stopped, or the announced one. Raises
        NotFoundError, SecondPersonNeededError, ConflictError when nothing of the kind is to be accepted.
        """
        async with self._database.write() as session:
            await once.begin(session)
            row, known = await self._opened(session, district_id)
            standing = await connection_state.find(session, self._cipher, row)
            proposed = await sftp_connection.find_proposal(session, self._cipher, row)
            actor = Actor(district_id, ConnectionAction.ACCEPTED, user)
            if proposed is not None and fingerprint in added_pins(known, proposed.target):
                self._check_confirmation(known, proposed, user, proposal_id)
                actor = replace(actor, action=ConnectionAction.CONFIRMED)
                row, event = await self._save(session, row, known, proposed.target, actor)
            elif fingerprint not in {known.announced_fingerprint, *standing.offered_fingerprints}:
                raise ConflictError(
                    "This is not a fingerprint that waits to be accepted: the server did not offer it when "
                    "the connection was stopped, and it was neither announced nor proposed. Read the "
                    "connection, and send one that it shows."
                )
            elif self._second_person and not await self._agreed(session, row, known, fingerprint):
                event = await self._propose(session, row, known, with_pin(known, fingerprint), user)
            else:
                self._check_person(user)
                row, event = await self._save(session, row, known, with_pin(known, fingerprint), actor)
            answer = await self._shown(session, row)
            await once.end(session, answer)
        self._attempts.tell(event)
        return answer

    async def reject(self, district_id: str, user: str, once: Once = NO_KEY) -> ShownConnection:
        """Take back the proposed change; a stop stays. Raises NotFoundError when nothing is proposed."""
        async with self._database.write() as session:
            await once.begin(session)
            row, known = await self._opened(session, district_id)
            proposed = await sftp_connection.find_proposal(session, self._cipher, row)
            if proposed is None:
                raise NotFoundError("No change of the connection waits for a second person.")
            await sftp_connection.withdraw_proposal(session, district_id)
            actor = Actor(district_id, ConnectionAction.REJECTED, user)
            event = await self._record(session, actor, known, proposed.target, proposed.by)
            answer = await self._shown(session, row)
            await once.end(session, answer)
        self._attempts.tell(event)
        return answer

    def _check_confirmation(
        self, known: SftpTarget, proposed: Proposed, user: str, proposal_id: UUID | None
    ) -> None:
        """Raise unless this person may confirm, and has seen, just this proposal."""
        self._check_person(user)
        if self._second_person and proposed.by == user:
            raise SecondPersonNeededError(
                "You proposed this change yourself. Another administrator has to confirm it."
            )
        only_pin = proposed.target == with_pin(known, proposed.target.fingerprint)
        if proposal_id != proposed.id and (proposal_id is not None or not only_pin):
            raise ConflictError(
                "The proposal changes more than the fingerprint, or is not the one that you name. Read the "
                "connection again, and send the id of its `proposal` as `proposal_id`."
            )

    async def _agreed(
        self, session: AsyncSession, row: SftpConnection, known: SftpTarget, fingerprint: str
    ) -> bool:
        """Tell whether an announced fingerprint counts already: two people agreed on it, and on its day."""
        in_force = await sftp_connection.in_force(session, row.district_id, known)
        return fingerprint == in_force.announced_fingerprint

    def _check_person(self, user: str) -> None:
        """Raise for a service token where two persons are asked for: whoever made it would be both."""
        if self._second_person and user.startswith(SERVICE_PREFIX):
            raise SecondPersonNeededError(
                "A service token is no person. Two administrators have to propose and confirm this change."
            )

    async def _propose(
        self,
        session: AsyncSession,
        row: SftpConnection,
        known: SftpTarget,
        target: SftpTarget,
        user: str,
    ) -> OpenedEvent:
        self._check_person(user)
        proposed = Proposed(target, user, utc_now())
        await sftp_connection.propose(session, self._cipher, row, proposed)
        actor = Actor(row.district_id, ConnectionAction.PROPOSED, user)
        return await self._record(session, actor, known, target)

    async def _save(
        self,
        session: AsyncSession,
        row: SftpConnection | None,
        known: SftpTarget | None,
        target: SftpTarget,
        actor: Actor,
    ) -> tuple[SftpConnection, OpenedEvent]:
        """Store the connection in a new version, which no stop, back-off or proposal is about."""
        now = utc_now()
        sealed = sftp_connection.seal(self._cipher, actor.district, target)
        version = await next_version(await session.connection())
        values = {**sealed, "updated_by": actor.user, "updated_at": now, "version": version}
        if known is None or known.fingerprint != target.fingerprint:
            values["fingerprint_since"] = now
        if known is None or known.announced_fingerprint != target.announced_fingerprint:
            values["announced_since"] = now if target.announced_fingerprint else None
        row = row or SftpConnection(district_id=actor.district, **values)
        row.sqlmodel_update(values)
        session.add(row)
        await sftp_connection.withdraw_proposal(session, actor.district)
        log.info("connection_saved", district=actor.district, version=version, action=actor.action.value)
        return row, await self._record(session, actor, known, target)

    async def _record(
        self,
        session: AsyncSession,
        actor: Actor,
        known: SftpTarget | None,
        target: SftpTarget,
        proposed_by: str | None = None,
    ) -> OpenedEvent:
        facts = {
            "fingerprint": target.fingerprint,
            "announced_fingerprint": target.announced_fingerprint,
            "previous_fingerprint": known.fingerprint if known else None,
            "previous_announced_fingerprint": known.announced_fingerprint if known else None,
            "previous_host": known.host if known and known.host != target.host else None,
            "proposed_by": proposed_by,
        }
        event = event_of(actor, target, facts)
        await self._attempts.store(session, event)
        # Values are in the connection event, encrypted; the trail names what changed.
        after = {"changed": changed_fields(known, target), "connection_event": event.id}
        change = Change(AuditAction(actor.action), AuditRecord.SFTP_CONNECTION, actor.district, None, after)
        await audit_events.record(await session.connection(), actor.district, change)
        return event

    async def _unchanged(
        self, session: AsyncSession, district_id: str, seen: SftpConnection | None
    ) -> SftpConnection | None:
        row = await sftp_connection.find(session, district_id, to_change=True)
        if (row and row.version) != (seen and seen.version):
            raise ConflictError("Somebody else saved the connection at the same moment. Read it again.")
        return row

    async def _opened(self, session: AsyncSession, district_id: str) -> tuple[SftpConnection, SftpTarget]:
        row = await sftp_connection.find(session, district_id, to_change=True)
        if row is None:
            raise _nothing_saved()
        try:
            return row, sftp_connection.open_row(self._cipher, row)
        except DecryptionError as error:
            raise locked(error) from error

    async def _shown(self, session: AsyncSession, row: SftpConnection) -> ShownConnection:
        try:
            return await shown(session, self._cipher, row)
        except DecryptionError as error:
            raise locked(error) from error


def _nothing_saved() -> NotFoundError:
    return NotFoundError("No connection is saved for your district.")


def locked(error: DecryptionError) -> ServiceUnavailableError:
    """Return what a caller is told when the stored connection does not decrypt."""
    log.error("connection_not_decrypted", reason=str(error))
    return ServiceUnavailableError(
        "The stored connection cannot be decrypted. An operator has to restore the key that is missing in "
        "CERTSYNC_ENCRYPTION_KEYS, or an administrator saves the connection again."
    )
