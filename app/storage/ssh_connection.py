"""Opens an SSH connection to a pinned server: the host key is proved before any credential leaves (I11)."""

import asyncio
import hmac
import logging
from collections.abc import Callable
from typing import Any

import asyncssh
from pydantic import SecretStr

from app.constants import ConnectionPhase
from app.storage.fingerprints import OfferedKey
from app.storage.networks import open_socket, resolve
from app.storage.ssh_attempt import Attempt, SftpLimits

_KEEPALIVE_SECONDS = 15
_KEEPALIVE_COUNT = 3
_PIECE = 32 << 10
"""Bytes of a packet of SSH, as servers fill it in a transfer (RFC 4254, section 5.2)."""


async def connect(
    attempt: Attempt, limits: SftpLimits, key: asyncssh.SSHKey | None = None
) -> asyncssh.SSHClientConnection | None:
    """Return the authenticated connection, or None when no host key of the server has a pin.

    A server shows one host key a connection, of the first type that both know. Those that it showed are
    left out of the next try, until one has a pin or it has no other. No try but the last, on a pinned key,
    gets to the authentication; all go to addresses that were looked up, and looked at, once. Raises what
    asyncssh and the socket raise, TimeoutError, and AddressRefusedError.
    """
    asyncssh.set_log_level(logging.WARNING)  # below that it logs hosts and user ids
    target = attempt.target
    async with asyncio.timeout(limits.connect):
        addresses = await resolve(target.host, target.port, limits.networks)
    wanted = list(attempt.algorithms.host_keys)
    while wanted:
        try:
            return await _try(attempt, limits, key, addresses, wanted)
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
    attempt: Attempt,
    limits: SftpLimits,
    key: asyncssh.SSHKey | None,
    addresses: list[Any],
    key_types: list[str],
) -> asyncssh.SSHClientConnection:
    """Connect once. Every source of settings but these arguments is shut: files, agent, environment."""
    attempt.phase = ConnectionPhase.CONNECT
    opened = await open_socket(addresses, limits.connect)
    attempt.address = opened.getpeername()[0]
    speaks = attempt.algorithms
    password = attempt.target.password if key is None else None
    try:
        async with asyncio.timeout(limits.login):
            return await asyncssh.connect(
                attempt.target.host,
                attempt.target.port,
                sock=opened,
                username=attempt.target.username,
                client_factory=lambda: _Client(attempt, key),
                known_hosts=lambda _host, _address, _port: ([], [], []),  # anything else skips the callback
                config=None,
                client_keys=None,
                agent_path=None,
                gss_host=None,
                x509_trusted_certs=None,
                x509_trusted_cert_paths=None,
                password=_asked(attempt, password) if password else None,
                preferred_auth="publickey" if key else "password,keyboard-interactive",
                server_host_key_algs=[name for kind in key_types for name in speaks.host_keys[kind]],
                kex_algs=speaks.key_exchanges,
                encryption_algs=speaks.ciphers,
                mac_algs=speaks.macs,
                signature_algs=speaks.signatures,
                compression_algs=["none"],
                connect_timeout=None,  # it is connected, and the clock above has the other limit
                login_timeout=0,
                keepalive_interval=_KEEPALIVE_SECONDS,
                keepalive_count_max=_KEEPALIVE_COUNT,
            )
    except BaseException:
        opened.close()  # it may not have come to belong to a connection, which would have closed it
        raise


def _asked(attempt: Attempt, password: SecretStr) -> Callable[[], str]:
    """Return the password's giver, which notes that the server asked for it."""

    def give() -> str:
        attempt.credential_asked = True
        return password.get_secret_value()

    return give


class _Client(asyncssh.SSHClient):
    """Checks the host key, hands the private key over and notes how far the attempt came."""

    def __init__(self, attempt: Attempt, key: asyncssh.SSHKey | None) -> None:
        self._attempt = attempt
        self._key = key

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._attempt.connection = conn
        self._attempt.phase = ConnectionPhase.HOST_KEY
        conn.data_received = _in_pieces(conn)  # type: ignore[method-assign] # of this one, not of its class

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002 - the library's signature
        offered = OfferedKey(key.get_algorithm(), key.get_fingerprint("sha256"))
        if self._attempt.phase is not ConnectionPhase.HOST_KEY:
            return self._is_the_same(offered)
        self._attempt.offered.append(offered)
        for pin, fingerprint in self._attempt.target.pins.items():
            if hmac.compare_digest(offered.fingerprint.encode(), fingerprint.encode()):
                self._attempt.pin = pin
                self._attempt.phase = ConnectionPhase.AUTHENTICATE
                return True
        return False

    def _is_the_same(self, offered: OfferedKey) -> bool:
        """Tell whether a later key exchange, which long transfers have, shows the host key of the first."""
        if offered == self._attempt.offered[-1]:
            return True
        self._attempt.offered.append(offered)
        self._attempt.phase, self._attempt.changed = ConnectionPhase.HOST_KEY, True
        return False

    def public_key_auth_requested(self) -> asyncssh.SSHKey | None:
        self._attempt.credential_asked = True
        key, self._key = self._key, None  # asked again after a refusal
        return key


def _in_pieces(connection: asyncssh.SSHClientConnection) -> Callable[..., None]:
    """Return a `data_received` that hands what came over to the connection packet by packet, about.

    For each packet the library copies twice all that it has not looked at yet: of what came at once during
    a transfer that is eight times as much as there is. Python's own event loop, which workers have, asks
    for the method each time; uvloop asked once, before the connection came here, and goes on as it is.
    """
    take = connection.data_received

    def data_received(data: bytes, _kind: int | None = None) -> None:
        for start in range(0, len(data), _PIECE):
            take(data[start : start + _PIECE])
            if connection.get_extra_info("socket") is None:
                return  # a piece ended the connection: nothing behind it counts

    return data_received
