"""Whose doing a change is, as the audit trail tells it: set where a request or a command comes in.

It goes with the task, as the ids of log lines do, so that no use case hands it on.
"""

import getpass
import os
import socket
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from app.constants import AuditInterface

LONGEST_ADDRESS = 255
ITSELF = "certsync"
"""The actor of what nobody asked for just now, such as retention."""


@dataclass(frozen=True)
class Source:
    """Who acts, over what, and from where: an address, or for what runs on our machines their name."""

    actor: str
    interface: AuditInterface
    address: str | None = None
    request_id: str | None = None
    token_id: UUID | None = None
    run_id: UUID | None = None


_current: ContextVar[Source | None] = ContextVar("audit_source", default=None)


def enter(source: Source) -> None:
    """Make `source` that of every change which the running task makes from now on."""
    _current.set(source)


def current() -> Source:
    """Return whose doing a change is that is made now; without anybody's, it is the service's own."""
    return _current.get() or Source(ITSELF, AuditInterface.SERVICE, this_host())


def this_host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()[:LONGEST_ADDRESS]


def shell_user() -> str:
    """Return who types a command, as the system knows them: in a container that may be a number only."""
    try:
        return getpass.getuser()[:200]
    except (KeyError, OSError):  # OSError since Python 3.13
        return f"uid {os.getuid()}"
