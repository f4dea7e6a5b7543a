"""Security events of the connection: who did what, where, to which server, and what was seen of it (I10)."""

import os
import socket
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import structlog

from app.constants import ConnectionAction, ConnectionPhase
from app.failures import RunFailure
from app.models.base import utc_now
from app.storage.connection_events import OpenedEvent
from app.storage.ssh_attempt import SftpTarget

COLUMNS = {"phase", "host", "port", "username", "milliseconds", "bytes"}
"""Facts that an event has outside its details."""


class BrokenOff(RunFailure):
    """An attempt ended from our side; it is no failure of the connection, so it has no code."""

    code = ""


@dataclass(frozen=True)
class Actor:
    """Who makes an attempt or a change: a person, or a run, `scheduled` when nobody asked for it just now."""

    district: str
    action: ConnectionAction
    user: str
    run_id: UUID | None = None
    scheduled: bool = False


def event_of(
    actor: Actor, target: SftpTarget, facts: dict[str, Any], failure: RunFailure | None = None
) -> OpenedEvent:
    """Return the event of an attempt, or of a change, that was just made; `facts` are its details."""
    details = {name: value for name, value in facts.items() if name not in COLUMNS and value is not None}
    return OpenedEvent(
        id=uuid4(),
        district=actor.district,
        at=utc_now(),
        action=actor.action.value,
        by=actor.user,
        process=f"{socket.gethostname()}/{os.getpid()}"[-255:],
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
        host=target.host,
        port=target.port,
        username=target.username,
        phase=ConnectionPhase(facts.get("phase", ConnectionPhase.HOST_KEY)),
        outcome="failure" if failure else "success",
        failure_code=(failure.code or None) if failure else None,
        message=failure.message if failure else "",
        milliseconds=facts.get("milliseconds"),
        bytes=facts.get("bytes"),
        run_id=actor.run_id,
        details=details,
    )
