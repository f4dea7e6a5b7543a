"""Opens an SSH connection to a pinned server: the host key is proved before any credential leaves (I11)."""

import asyncio
import hmac
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncssh
from pydantic import SecretStr

from app.constants import ConnectionPhase
from app.failures import RunFailure
from app.storage import ssh_algorithms
from app.storage.fingerprints import OfferedKey

_KEEPALIVE_SECONDS = 15
_KEEPALIVE_COUNT = 3
_MAX_TEXT = 500
_MAX_LISTED = 50


@dataclass(frozen=True)
class SftpTarget:
    """Where and as whom to connect.

    `fingerprint` is the pin in the form of `normalise_fingerprint`. With `private_key` the key
    authenticates, and `password` is then its passphrase, if it has one.
    """

    host: str
    port: int
    username: str = field(repr=False)
    password: SecretStr | None
    private_key: SecretStr | None
    fingerprint: str
    directory: str


@dataclass(frozen=True)
class SftpLimits:
    """Seconds to reach the server, to log in, and for listing and download together; bytes of a file."""

    connect: float
    login: float
    transfer: float
    max_bytes: int


@dataclass
class Attempt:
    """How far one attempt came and what was seen, for those who look into its failure (I10)."""

    target: SftpTarget
    phase: ConnectionPhase = ConnectionPhase.CONNECT
    offered: list[OfferedKey] = field(default_factory=list)
    credential_asked: bool = False
    connection: asyncssh.SSHClientConnection | None = None

    def failure(self, kind: type[RunFailure], message: str, error: BaseException | None = None) -> RunFailure:
        """Return the failure to raise, with the diagnosis of this moment."""
        return kind(message, diagnosis=self.diagnosis(error))

    def diagnosis(self, error: BaseException | None = None) -> dict[str, Any]:
        """Return the facts of the error log: JSON values, the user id masked, no secret."""
        facts: dict[str, Any] = {
            "phase": self.phase.value,
            "host": self.target.host,
            "port": self.target.port,
            "username": mask(self.target.username),
            "expected_fingerprint": self.target.fingerprint,
            "offered": [vars(key).copy() for key in self.offered],
        }
        if self.offered:
            facts["offered_fingerprint"] = self.offered[-1].fingerprint
            facts["offered_algorithm"] = self.offered[-1].algorithm
        if self.connection:
            facts["server_host_key_algorithms"] = [
                printable(name)[:_MAX_TEXT]
                for name in ssh_algorithms.offered_signatures(self.connection)[:_MAX_LISTED]
            ]
            for name in ("server_version", "send_cipher", "recv_cipher", "send_mac", "recv_mac"):
                if value := self.connection.get_extra_info(name):
                    facts[name] = printable(str(value))[:_MAX_TEXT]
        if error:
            facts["exception"] = type(error).__name__
            facts["error"] = self._masked(str(error))
        return facts

    def server_key_types(self) -> list[str]:
        """Return the types of host key that the server has and this service accepts."""
        listed = ssh_algorithms.offered_signatures(self.connection) if self.connection else []
        return [
            kind
            for kind, names in ssh_algorithms.HOST_KEY_ALGORITHMS.items()
            if not set(names).isdisjoint(listed)
        ]

    def _masked(self, text: str) -> str:
        """Return foreign text without the user id and without a secret that a server may echo."""
        target = self.target
        for secret in (target.password, target.private_key):
            if secret and secret.get_secret_value():
                text = text.replace(secret.get_secret_value(), "***")
        if target.username:
            text = re.sub(rf"(?<!\w){re.escape(target.username)}(?!\w)", mask(target.username), text)
        return printable(text)[:_MAX_TEXT]


async def connect(
    attempt: Attempt, limits: SftpLimits, key: asyncssh.SSHKey | None = None
) -> asyncssh.SSHClientConnection | None:
    """Return the authenticated connection, or None when no host key of the server has the pin.

    A server shows one host key a connection, of the first type that both know. Those that it showed are
    left out of the next try, until one has the pin or it has no other. No try but the last, on the pinned
    key, gets to the authentication. Raises what asyncssh and the socket raise, and TimeoutError.
    """
    asyncssh.set_log_level(logging.WARNING)  # below that it logs hosts and user ids
    wanted = list(ssh_algorithms.HOST_KEY_ALGORITHMS)
    while wanted:
        try:
            return await _try(attempt, limits, key, wanted)
        except asyncssh.HostKeyNotVerifiable:
            wanted = _not_shown_yet(attempt, wanted)
    return None


def _not_shown_yet(attempt: Attempt, wanted: list[str]) -> list[str]:
    """Return which of the `wanted` key types to try next: those the server has, but for the one shown.

    It is always a shorter list, whatever the server says.
    """
    shown = attempt.offered[-1].algorithm if attempt.offered else None
    if shown not in wanted:
        return []  # it showed what it was not asked for
    return [kind for kind in wanted if kind != shown and kind in attempt.server_key_types()]


async def _try(
    attempt: Attempt, limits: SftpLimits, key: asyncssh.SSHKey | None, key_types: list[str]
) -> asyncssh.SSHClientConnection:
    """Connect once. Every source of settings but these arguments is shut: files, agent, environment."""
    attempt.phase = ConnectionPhase.CONNECT
    async with asyncio.timeout(limits.connect) as clock:

        def connected() -> None:
            clock.reschedule(asyncio.get_running_loop().time() + limits.login)

        password = attempt.target.password if key is None else None
        return await asyncssh.connect(
            attempt.target.host,
            attempt.target.port,
            username=attempt.target.username,
            client_factory=lambda: _Client(attempt, key, connected),
            known_hosts=lambda _host, _address, _port: ([], [], []),  # anything else skips the callback
            config=None,
            client_keys=None,
            agent_path=None,
            gss_host=None,
            x509_trusted_certs=None,
            password=_asked(attempt, password) if password else None,
            preferred_auth="publickey" if key else "password,keyboard-interactive",
            server_host_key_algs=[
                name for kind in key_types for name in ssh_algorithms.HOST_KEY_ALGORITHMS[kind]
            ],
            kex_algs=ssh_algorithms.KEY_EXCHANGES,
            encryption_algs=ssh_algorithms.CIPHERS,
            mac_algs=ssh_algorithms.MACS,
            signature_algs=ssh_algorithms.SIGNATURES,
            compression_algs=["none"],
            connect_timeout=None,  # the clock above has both limits
            login_timeout=0,
            keepalive_interval=_KEEPALIVE_SECONDS,
            keepalive_count_max=_KEEPALIVE_COUNT,
        )


def _asked(attempt: Attempt, password: SecretStr) -> Callable[[], str]:
    """Return the password's giver, which notes that the server asked for it."""

    def give() -> str:
        attempt.credential_asked = True
        return password.get_secret_value()

    return give


class _Client(asyncssh.SSHClient):
    """Checks the host key, hands the private key over and notes how far the attempt came."""

    def __init__(self, attempt: Attempt, key: asyncssh.SSHKey | None, connected: Callable[[], None]) -> None:
        self._attempt = attempt
        self._key = key
        self._connected = connected

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._attempt.connection = conn
        self._attempt.phase = ConnectionPhase.HOST_KEY
        self._connected()

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002 - the library's signature
        offered = OfferedKey(key.get_algorithm(), key.get_fingerprint("sha256"))
        self._attempt.offered.append(offered)
        pinned = hmac.compare_digest(offered.fingerprint.encode(), self._attempt.target.fingerprint.encode())
        if pinned:
            self._attempt.phase = ConnectionPhase.AUTHENTICATE
        return pinned

    def public_key_auth_requested(self) -> asyncssh.SSHKey | None:
        self._attempt.credential_asked = True
        key, self._key = self._key, None  # asked again after a refusal
        return key


def mask(username: str) -> str:
    """Return what may be written of a user id: enough to tell two apart."""
    return f"{username[:1]}***" if len(username) > 2 else "***"  # noqa: PLR2004 - two letters would be told by one


def printable(text: str) -> str:
    """Return text of a server without what could steer a terminal or break a line, escaped visibly."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
