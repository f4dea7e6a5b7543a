"""Attempts to use a state's server: whether one may be made, what became of it, and what follows (I10, B4).

Every attempt becomes an event, however it ends. A host key that has no pin stops the connection until a
person has looked; refused logins make the schedule wait, since a state locks accounts that fail too often.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import ConnectionAction, ConnectionPhase, ConnectionStanding, Pin
from app.crypto import Cipher
from app.database import Database
from app.errors import ConfigurationError, ServiceUnavailableError
from app.failures import RunFailure, SftpAuthFailed, SftpFingerprintMismatch, SftpInterrupted
from app.models import ConnectionState
from app.models.base import utc_now
from app.pipeline.connection_trail import Actor, BrokenOff, event_of
from app.settings import PREFIX, Settings
from app.storage import connection_events, connection_state, sftp_connection
from app.storage.connection_events import OpenedEvent
from app.storage.connection_state import Standing
from app.storage.networks import NetworkRules, parse_networks
from app.storage.sftp import SftpLimits, SftpSession, open_sftp
from app.storage.ssh_algorithms import LEGACY_NAMES, algorithms
from app.storage.ssh_attempt import Attempt, SftpTarget

LONGEST_PAUSE = 7
"""Of the pauses after refused logins, in the first one's length: 1, 2, 4, then always 7."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Loaded:
    """A connection as an attempt uses it, in one version."""

    target: SftpTarget
    version: int
    standing: Standing


def sftp_limits(settings: Settings) -> SftpLimits:
    """Return what the settings let a connection do; raises ConfigurationError naming one that is wrong."""
    networks = []
    for name, texts in (
        ("DENIED", settings.denied_networks),
        ("ALLOWED", settings.sftp_allowed_networks),
    ):
        try:
            networks.append(parse_networks(texts))
        except ValueError as error:
            raise ConfigurationError(f"{PREFIX}SFTP_{name}_NETWORKS: {error}") from error
    if unknown := set(settings.sftp_legacy_algorithms) - set(LEGACY_NAMES):
        raise ConfigurationError(
            f"{PREFIX}SFTP_LEGACY_ALGORITHMS: {', '.join(sorted(unknown))} cannot be allowed; those that can "
            f"are {', '.join(LEGACY_NAMES)}"
        )
    return SftpLimits(
        connect=settings.sftp_connect_timeout,
        login=settings.sftp_login_timeout,
        transfer=settings.sftp_transfer_timeout,
        max_bytes=settings.max_file_bytes,
        networks=NetworkRules(*networks),
        legacy=frozenset(settings.sftp_legacy_algorithms),
    )


def pause_after(login_failures: int, settings: Settings) -> timedelta | None:
    """Return for how long the schedule waits after so many refused logins in a row; None for not at all.

    A task runs once a day at most, so the first pause is a day unless the setting says otherwise: it is
    doubled with each further failure, up to seven times its length.
    """
    further = login_failures - settings.sftp_login_failures
    if further < 0:
        return None
    times: int = min(2**further, LONGEST_PAUSE)
    return timedelta(hours=settings.sftp_backoff_hours) * times


class Attempts:
    """Makes attempts and records them; `tell` gets every event after it was stored."""

    def __init__(
        self,
        database: Database,
        cipher: Cipher,
        settings: Settings,
        tell: Callable[[OpenedEvent], None],
    ) -> None:
        self._database = database
        self._cipher = cipher
        self._settings = settings
        self._tell = tell
        self.limits = sftp_limits(settings)
        if self.limits.legacy:
            log.warning("legacy_algorithms_allowed", algorithms=sorted(self.limits.legacy))

    async def load(self, district_id: str) -> Loaded:
        """Return how to connect now, and how the connection stands.

        Raises SftpNotConfigured, and DecryptionError.
        """
        async with self._database.read() as session:
            target, row = await sftp_connection.load_target(session, self._cipher, district_id)
            standing = await connection_state.find(session, self._cipher, row)
        return Loaded(target, row.version, standing)

    def check(self, loaded: Loaded, actor: Actor) -> None:
        """Raise the failure of a run that may not connect as the connection stands; nothing is sent then.

        A connection that is stopped keeps every run out, one that waits after refused logins those of the
        schedule. Raises SftpFingerprintMismatch, SftpAuthFailed.
        """
        standing, now = loaded.standing, utc_now()
        match standing.at(now):
            case ConnectionStanding.STOPPED:
                failure = _stopped(loaded)
            case ConnectionStanding.BACKING_OFF if actor.scheduled:
                failure = _waiting(loaded)
            case _:
                return
        log.warning("connection_not_tried", district=actor.district, reason=standing.at(now).value)
        raise failure

    @asynccontextmanager
    async def session(
        self, loaded: Loaded, actor: Actor, limits: SftpLimits | None = None
    ) -> AsyncIterator[SftpSession]:
        """Open a session, and store what became of the attempt whichever way the block ends."""
        limits = limits or self.limits
        attempt = Attempt(loaded.target, algorithms(limits.legacy))
        try:
            async with open_sftp(loaded.target, limits, attempt) as session:
                yield session
        except RunFailure as failure:
            await self.record(actor, attempt, failure, loaded.version)
            raise
        except BaseException:
            broken = attempt.failure(
                BrokenOff, "It was broken off: a run was cancelled, or its worker stopped."
            )
            try:
                await asyncio.shield(self.record(actor, attempt, broken, loaded.version))
            except (SQLAlchemyError, ServiceUnavailableError) as error:
                # What broke it off decides what becomes of the run: a cancelled one is put back.
                log.warning("event_not_stored", district=actor.district, error=type(error).__name__)
            raise
        await self.record(actor, attempt, None, loaded.version)

    async def record(
        self, actor: Actor, attempt: Attempt, failure: RunFailure | None, version: int | None = None
    ) -> None:
        """Store the attempt, and what it shows of that version of the connection, if it was one's."""
        facts = failure.diagnosis if failure and "phase" in failure.diagnosis else attempt.diagnosis()
        told = [event_of(actor, attempt.target, facts, failure)]
        async with self._database.write() as session:
            if version is not None:
                state = await connection_state.find_to_change(session, actor.district, version)
                if state is not None and self._learn(state, actor, attempt, failure):
                    seen = Actor(actor.district, ConnectionAction.ANNOUNCED_SEEN, actor.user, actor.run_id)
                    told.append(event_of(seen, attempt.target, facts))
            await self.store(session, *told)
        self.tell(*told)

    async def store(self, session: AsyncSession, *events: OpenedEvent) -> None:
        """Store events in the caller's transaction, who tells of them after it."""
        for event in events:
            await connection_events.add(session, self._cipher, event)

    def tell(self, *events: OpenedEvent) -> None:
        """Tell whoever listens of events that are stored."""
        for event in events:
            self._tell(event)

    def _learn(
        self, state: ConnectionState, actor: Actor, attempt: Attempt, failure: RunFailure | None
    ) -> bool:
        """Note what an attempt shows; returns whether the announced host key was met for the first time."""
        now = utc_now()
        if isinstance(failure, SftpFingerprintMismatch):
            self._stop(state, actor, failure, now)
        if attempt.pin is None:
            return False
        first = attempt.pin is Pin.ANNOUNCED and state.host_key_in_use != Pin.ANNOUNCED
        state.host_key_in_use, state.host_key_seen_at = attempt.pin.value, now
        if first:
            log.warning("announced_host_key_seen", district=actor.district)
        if _login_refused(attempt, failure):
            state.login_failures += 1
            pause = pause_after(state.login_failures, self._settings)
            if pause is not None:
                state.backing_off_until = now + pause
                log.error(
                    "connection_backing_off",
                    district=actor.district,
                    login_failures=state.login_failures,
                    hours=pause.total_seconds() / 3600,
                )
        elif attempt.phase in {ConnectionPhase.LIST, ConnectionPhase.DOWNLOAD}:
            state.login_failures, state.backing_off_until = 0, None
        return first

    def _stop(self, state: ConnectionState, actor: Actor, failure: RunFailure, now: datetime) -> None:
        """Stop the connection; what was offered last is what can be accepted."""
        connection_state.keep_offered(self._cipher, state, failure.diagnosis["offered"])
        if state.stopped_at is None:
            state.stopped_at, state.stopped_run_id = now, actor.run_id
            log.error("connection_stopped", district=actor.district)


def _login_refused(attempt: Attempt, failure: RunFailure | None) -> bool:
    """Tell whether the server counts it as a failed login; some hang up on a locked user."""
    if failure is None or attempt.phase is not ConnectionPhase.AUTHENTICATE:
        return False
    hung_up = isinstance(failure, SftpInterrupted) and attempt.credential_asked
    return hung_up or isinstance(failure, SftpAuthFailed)


def _stopped(loaded: Loaded) -> RunFailure:
    standing = loaded.standing
    assert standing.stopped_at is not None
    facts = _not_tried(loaded, ConnectionPhase.HOST_KEY) | {
        "offered": [vars(key).copy() for key in standing.offered],
        "stopped_at": standing.stopped_at.isoformat(),
        "stopped_by_run": str(standing.stopped_run_id) if standing.stopped_run_id else "a test by hand",
    }
    return SftpFingerprintMismatch(
        f"The connection is stopped: on {_told(standing.stopped_at)} the SFTP server showed a host key that "
        "is not the one whose fingerprint is stored. It was not contacted again. Ask the state whether it "
        "changed its host key. If it confirms the one that was offered, accept it; otherwise save the "
        "connection again when the cause is mended.",
        diagnosis=facts,
    )


def _waiting(loaded: Loaded) -> RunFailure:
    standing = loaded.standing
    assert standing.backing_off_until is not None
    until = _told(standing.backing_off_until)
    return SftpAuthFailed(
        f"The login at the SFTP server failed {standing.login_failures} times in a row. So that the state "
        f"does not lock the account, the schedule does not try again until {until}; it was not contacted. "
        "Check user id and password or key, and save the connection, which ends the wait; or run the task by "
        "hand, which tries at once.",
        diagnosis=_not_tried(loaded, ConnectionPhase.AUTHENTICATE)
        | {"backing_off_until": standing.backing_off_until.isoformat()},
    )


def _not_tried(loaded: Loaded, phase: ConnectionPhase) -> dict[str, Any]:
    facts = Attempt(loaded.target, algorithms()).diagnosis()
    return {**facts, "phase": phase.value, "contacted": False}


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
