"""What a foreign exception of SSH or of the network means to a district's administrator (I10)."""

import socket

import asyncssh
import structlog

from app.constants import ConnectionPhase
from app.failures import (
    RunFailure,
    SftpAuthFailed,
    SftpFingerprintMismatch,
    SftpInterrupted,
    SftpTimeout,
    SftpUnreachable,
)
from app.storage.networks import AddressRefusedError
from app.storage.ssh_attempt import Attempt, SftpLimits

FOREIGN = (asyncssh.Error, OSError, AddressRefusedError)
"""What a connection ends in that is no failure of a run yet."""

log = structlog.get_logger()


def explain(attempt: Attempt, limits: SftpLimits, error: BaseException) -> RunFailure:
    """Return the failure for `error`, by the phase it came in.

    Host, user and pin are left out of the message, which is stored in clear; the diagnosis has them.
    """
    if isinstance(error, AddressRefusedError):
        log.warning("address_refused")  # the diagnosis is for who asked, and must not tell what was found
        return attempt.failure(SftpUnreachable, _REFUSED)
    if attempt.changed:
        return mismatch(attempt)
    kind, message = _meaning(attempt, limits, error)
    return attempt.failure(kind, message, error)


def mismatch(attempt: Attempt) -> RunFailure:
    """Return the failure for a server none of whose host keys has the pin; it names all that it showed."""
    offered = ", ".join(f"{key.algorithm} {key.fingerprint}" for key in attempt.offered) or "no key"
    return attempt.failure(
        SftpFingerprintMismatch,
        "The SFTP server is not the one whose fingerprint is stored: no credential was sent. It offered: "
        f"{offered}. Ask the state whether its host key was changed; only if it confirms one of these, "
        "store that one.",
    )


def _meaning(attempt: Attempt, limits: SftpLimits, error: BaseException) -> tuple[type[RunFailure], str]:
    if isinstance(error, TimeoutError):
        return SftpTimeout, _timeout(attempt.phase, limits)
    if attempt.phase is ConnectionPhase.CONNECT:
        return SftpUnreachable, _unreachable(error)
    if attempt.phase is ConnectionPhase.HOST_KEY:
        return _no_handshake(attempt, error)
    if attempt.phase is ConnectionPhase.AUTHENTICATE:
        return _no_login(attempt, error)
    if isinstance(error, asyncssh.ChannelOpenError):
        return SftpUnreachable, _NO_SFTP
    return SftpInterrupted, _CUT


_REFUSED = (
    "The host name of the SFTP server is not known, or its address may not be connected to from here. Check "
    "its spelling in the connection; an operator can allow an address (CERTSYNC_SFTP_ALLOWED_NETWORKS)."
)
"""One message for both, so that nobody learns names and addresses of the operator's network from it."""
_NO_SFTP = (
    "The SFTP server took the login but offers this user no file transfer. "
    "Ask the state to enable SFTP for it."
)
_CUT = (
    "The connection to the SFTP server broke off before the work was done. Nothing was changed; run again. "
    "If it happens often, give the error log to the network's administrator."
)


def _timeout(phase: ConnectionPhase, limits: SftpLimits) -> str:
    if phase is ConnectionPhase.CONNECT:
        return (
            f"The SFTP server did not answer within {limits.connect:g} seconds. Check host and port, "
            "and that no firewall stands between this service and the state."
        )
    if phase is ConnectionPhase.HOST_KEY:
        return (
            f"Something took the connection but did not speak SSH within {limits.login:g} seconds. "
            "Check the port; a firewall or a server under heavy load can do this too."
        )
    return f"The SFTP server did not complete the login within {limits.login:g} seconds. Run again later."


def _unreachable(error: BaseException) -> str:
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return (
            "The host name of the SFTP server is not known. Check its spelling in the connection, "
            "and that this service's network can resolve names."
        )
    return (
        "The SFTP server cannot be reached or refuses the connection. Check host and port, whether the state "
        "announced a maintenance, and that no firewall stands between."
    )


def _no_handshake(attempt: Attempt, error: BaseException) -> tuple[type[RunFailure], str]:
    if isinstance(error, asyncssh.KeyExchangeFailed) or attempt.without_common():
        return SftpUnreachable, (
            "The SFTP server offers outdated encryption only, which this service does not use. Ask the state "
            "for a server with current algorithms; the error log lists what it has. An operator can allow an "
            "outdated one by its name (CERTSYNC_SFTP_LEGACY_ALGORITHMS)."
        )
    if isinstance(error, (asyncssh.ConnectionLost, OSError)):
        return SftpInterrupted, (
            "The SFTP server ended the connection before it showed its host key. Check the port, and ask the "
            "state whether this service's address is allowed there."
        )
    return SftpUnreachable, (
        "What answers at this host and port is not an SFTP server that this service understands. "
        "Check the port."
    )


def _no_login(attempt: Attempt, error: BaseException) -> tuple[type[RunFailure], str]:
    if isinstance(error, (asyncssh.ConnectionLost, OSError)):
        return SftpInterrupted, (
            "The SFTP server ended the connection during the login. Some servers do so for a user that is "
            "locked or unknown: check user id and password or key, then run again."
        )
    if not attempt.credential_asked:
        given, other = (
            ("private key", "password") if attempt.target.private_key else ("password", "private key")
        )
        return SftpAuthFailed, (
            f"The SFTP server does not accept a {given} from this user. Ask the state how it logs in; "
            f"if by {other}, store one in the connection."
        )
    given = "key" if attempt.target.private_key else "password"
    return SftpAuthFailed, (
        f"The SFTP server refused the user id or the {given}. Check both in the connection, and ask the "
        "state whether the user is locked or the credential has expired."
    )
