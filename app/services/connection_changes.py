"""What a change of the connection comes to: which secrets it keeps, which pins it adds."""

import asyncio
from collections.abc import Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from datetime import date
from typing import Any

from app.errors import FieldError, ValidationFailedError
from app.storage.sftp import SftpTarget, check_private_key
from app.storage.sftp_connection import SECRETS

IDENTITY = ("host", "port", "username", "fingerprint")
"""While these stay the same, a stored secret still goes to the server that it was given for.

So it does when a pin is taken away; one that is added could be another server's.
"""


def merge(known: SftpTarget | None, fields: Mapping[str, Any]) -> SftpTarget:
    """Return the connection to save, with the stored secrets that it may keep.

    Raises ValidationFailedError naming the field.
    """
    target = SftpTarget(**{**fields, **dict.fromkeys(SECRETS)})
    if target.announced_fingerprint == target.fingerprint:
        raise _invalid("announced_fingerprint", "is the fingerprint already; leave it out")
    if target.announced_from and not target.announced_fingerprint:
        raise _invalid("announced_from", "needs announced_fingerprint, which it is the first day of")
    same = (
        known is not None
        and all(getattr(known, name) == getattr(target, name) for name in IDENTITY)
        and set(target.pins.values()) <= set(known.pins.values())
    )
    secrets: dict[str, Any] = {}
    for name in SECRETS:
        kept = getattr(known, name) if known is not None and name not in fields else None
        if kept is not None and not same:
            raise _invalid(
                name,
                "is required again when host, port, username or fingerprint change, or one is announced; "
                "null removes it",
            )
        secrets[name] = kept or fields.get(name)
    if not any(secrets.values()):
        raise _invalid("password", "is required, or a private key instead")
    return replace(target, **secrets)


def with_pin(target: SftpTarget, fingerprint: str) -> SftpTarget:
    """Return the connection with another current pin; an announced one that it becomes is none any more."""
    if fingerprint == target.announced_fingerprint:
        return replace(target, fingerprint=fingerprint, announced_fingerprint=None, announced_from=None)
    return replace(target, fingerprint=fingerprint)


def added_pins(known: SftpTarget | None, target: SftpTarget) -> set[str]:
    """Return the fingerprints that `target` would accept and the known connection does not, or not yet."""
    before = _first_days(known) if known else {}
    return {pin for pin, day in _first_days(target).items() if day < before.get(pin, date.max)}


def _first_days(target: SftpTarget) -> dict[str, date]:
    """Return from which day each fingerprint counts; an announced one without a day does at once."""
    days = {target.fingerprint: date.min}
    if target.announced_fingerprint:
        days[target.announced_fingerprint] = target.announced_from or date.min
    return days


async def check_key(target: SftpTarget) -> None:
    """Raise ValidationFailedError when the private key cannot log in."""
    if target.private_key is None:
        return
    passphrase = target.password.get_secret_value() if target.password else None
    try:
        await asyncio.to_thread(check_private_key, target.private_key.get_secret_value(), passphrase)
    except ValueError as error:
        raise _invalid("private_key", str(error)) from None  # the key must not get into a traceback


def _invalid(name: str, text: str) -> ValidationFailedError:
    return ValidationFailedError(f"{name}: {text}.", errors=[FieldError(("body", name), text)])


def changed_fields(known: SftpTarget | None, target: SftpTarget) -> list[str]:
    """Return the names of what differs; of a first connection, of all that it has."""
    return [
        field.name
        for field in fields_of(target)
        if getattr(target, field.name) != (getattr(known, field.name) if known else None)
    ]
