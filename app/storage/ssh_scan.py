"""Asks a server for its host keys, for a person to compare with what the state announced."""

from app.storage.fingerprints import OfferedKey
from app.storage.ssh_algorithms import algorithms
from app.storage.ssh_attempt import Attempt, SftpLimits, SftpTarget
from app.storage.ssh_connection import connect
from app.storage.ssh_failures import FOREIGN, explain


async def scan_host_keys(attempt: Attempt, limits: SftpLimits) -> list[OfferedKey]:
    """Return the host keys that a server offers, for an administrator to compare; nothing is sent.

    The attempt is one of `asking`. Raises SftpUnreachable, SftpTimeout or SftpInterrupted.
    """
    try:
        await connect(attempt, limits)  # no key equals an empty pin
    except (*FOREIGN, ValueError) as error:
        raise explain(attempt, limits, error) from None
    return attempt.offered


def asking(host: str, port: int, limits: SftpLimits) -> Attempt:
    """Return the attempt of nobody, who has no credential and knows no fingerprint."""
    target = SftpTarget(host, port, "", password=None, private_key=None, fingerprint="", directory="")
    return Attempt(target, algorithms(limits.legacy))
