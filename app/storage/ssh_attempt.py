"""One attempt to use a state's server: whom to reach, within which limits, and what was seen of it (I10)."""

import re
import time
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import asyncssh
from pydantic import SecretStr

from app.constants import ConnectionPhase, Pin
from app.failures import RunFailure
from app.storage import ssh_algorithms
from app.storage.fingerprints import OfferedKey
from app.storage.networks import ANYWHERE, NetworkRules

_MAX_TEXT = 500
_MAX_NAME = 64
_MAX_LISTED = 50
_SHOWN = {
    "key exchange": "server_key_exchanges",
    "host keys": "server_host_key_algorithms",
    "ciphers": "server_ciphers",
    "MACs": "server_macs",
}
"""Names of the server's lists in a diagnosis."""


@dataclass(frozen=True)
class SftpTarget:
    """Where and as whom to connect.

    `fingerprint` is the pin in the form of `normalise_fingerprint`, and `announced_fingerprint` a second one
    that is accepted as well; until `announced_from` whoever loads a target leaves it out. With `private_key`
    the key authenticates, and `password` is then its passphrase, if it has one.
    """

    host: str
    port: int
    username: str = field(repr=False)
    password: SecretStr | None
    private_key: SecretStr | None
    fingerprint: str
    directory: str
    announced_fingerprint: str | None = None
    announced_from: date | None = None

    @property
    def pins(self) -> dict[Pin, str]:
        """The fingerprints that a host key may have."""
        pins = {Pin.CURRENT: self.fingerprint}
        if self.announced_fingerprint is not None:
            pins[Pin.ANNOUNCED] = self.announced_fingerprint
        return pins


@dataclass(frozen=True)
class SftpLimits:
    """Seconds to reach the server, to log in, and for listing and download together; bytes of a file.

    `networks` are the addresses that may be reached, `legacy` the outdated algorithms that may be spoken.
    """

    connect: float
    login: float
    transfer: float
    max_bytes: int
    networks: NetworkRules = ANYWHERE
    legacy: frozenset[str] = frozenset()


@dataclass
class Attempt:
    """How far one attempt came and what was seen, for those who look into it (I10).

    `changed` says that the server showed another host key in the midst of the connection.
    """

    target: SftpTarget
    algorithms: ssh_algorithms.Algorithms
    phase: ConnectionPhase = ConnectionPhase.CONNECT
    address: str | None = None
    offered: list[OfferedKey] = field(default_factory=list)
    pin: Pin | None = None
    credential_asked: bool = False
    changed: bool = False
    received: int = 0
    connection: asyncssh.SSHClientConnection | None = None
    began: float = field(default_factory=time.monotonic)

    def failure(self, kind: type[RunFailure], message: str, error: BaseException | None = None) -> RunFailure:
        """Return the failure to raise, with the diagnosis of this moment."""
        return kind(message, diagnosis=self.diagnosis(error))

    def diagnosis(self, error: BaseException | None = None) -> dict[str, Any]:
        """Return the facts of the error log and the event: JSON values, the user id masked, no secret."""
        facts: dict[str, Any] = {
            "phase": self.phase.value,
            "host": self.target.host,
            "port": self.target.port,
            "username": mask(self.target.username),
            "expected_fingerprint": self.target.fingerprint,
            "offered": [vars(key).copy() for key in self.offered],
            "credential_asked": self.credential_asked,
            "milliseconds": round((time.monotonic() - self.began) * 1000),
            "bytes": self.received,
        }
        if self.target.announced_fingerprint:
            facts["announced_fingerprint"] = self.target.announced_fingerprint
        if self.address:
            facts["address"] = self.address
        if self.pin:
            facts["host_key_in_use"] = self.pin.value
        if self.offered:
            facts["offered_fingerprint"] = self.offered[-1].fingerprint
            facts["offered_algorithm"] = self.offered[-1].algorithm
        facts |= self._server()
        if error:
            facts["exception"] = type(error).__name__
            facts["error"] = self._masked(str(error))
        return facts

    def _server(self) -> dict[str, Any]:
        """Return what the server says of itself, and what is spoken with it."""
        facts: dict[str, Any] = {}
        for kind, names in self._offered().items():
            if kind in _SHOWN:
                facts[_SHOWN[kind]] = [printable(name)[:_MAX_NAME] for name in names[:_MAX_LISTED]]
        for name in ("server_version", "send_cipher", "recv_cipher", "send_mac", "recv_mac"):
            if self.connection and (value := self.connection.get_extra_info(name)):
                facts[name] = printable(str(value))[:_MAX_TEXT]
        return facts

    def server_key_types(self) -> list[str]:
        """Return the types of host key that the server has and this service accepts."""
        listed = self._offered().get("host keys", [])
        return [
            kind for kind, names in self.algorithms.host_keys.items() if not set(names).isdisjoint(listed)
        ]

    def without_common(self) -> list[str]:
        """Return the kinds of algorithm for which the server and this service have none in common."""
        return ssh_algorithms.without_common(self._offered(), self.algorithms)

    def _offered(self) -> dict[str, list[str]]:
        return ssh_algorithms.offered_names(self.connection) if self.connection else {}

    def _masked(self, text: str) -> str:
        """Return foreign text without the user id and without a secret that a server may echo."""
        target = self.target
        for secret in (target.password, target.private_key):
            if secret and secret.get_secret_value():
                text = text.replace(secret.get_secret_value(), "***")
        if target.username:
            text = re.sub(rf"(?<!\w){re.escape(target.username)}(?!\w)", mask(target.username), text)
        return printable(text)[:_MAX_TEXT]


def mask(username: str) -> str:
    """Return what may be written of a user id: enough to tell two apart."""
    return f"{username[:1]}***" if len(username) > 2 else "***"  # noqa: PLR2004 - two letters would be told by one


def printable(text: str) -> str:
    """Return text of a server without what could steer a terminal or break a line, escaped visibly."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
