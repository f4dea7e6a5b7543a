"""Host-key fingerprints, brought to the one form that is stored and compared."""

import base64
import binascii
import re
from dataclasses import dataclass

_SHA256_BYTES = 32
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_MD5 = re.compile(r"(?:MD5:)?(?:[0-9a-f]{2}:){15}[0-9a-f]{2}|MD5:[0-9a-f]{32}|[0-9a-f]{32}", re.IGNORECASE)
_PREFIX = "SHA256:"
_EXAMPLE = "SHA256: and 43 letters and digits, as `ssh-keygen -lf` prints it"


@dataclass(frozen=True)
class OfferedKey:
    """One host key of a server: `algorithm` is its key type, `fingerprint` is `SHA256:…`."""

    algorithm: str
    fingerprint: str


def normalise_fingerprint(text: str) -> str:
    """Return `SHA256:` and 43 base64 characters, so that two spellings of one fingerprint compare equal.

    Accepts the prefix or none, `=` at the end or none, and the same 32 bytes as 64 hexadecimal digits
    (with or without colons). Raises ValueError that says what to give instead; MD5 is too weak to pin.
    """
    given = text.strip()
    if _MD5.fullmatch(given):
        raise ValueError(
            "This is an MD5 fingerprint, which is too weak; replace it with SHA256: and what follows it"
        )
    body = given[len(_PREFIX) :] if given[: len(_PREFIX)].upper() == _PREFIX else given
    digits = body.replace(":", "")
    try:
        digest = bytes.fromhex(digits) if _HEX.fullmatch(digits) else _decode(body)
    except (binascii.Error, ValueError):
        raise ValueError(f"This is not a host-key fingerprint; give {_EXAMPLE}") from None
    return _PREFIX + base64.b64encode(digest).decode().rstrip("=")


def _decode(body: str) -> bytes:
    """Return the 32 bytes behind 43 base64 characters, with or without the padding."""
    digest = base64.b64decode(body.rstrip("=") + "=", validate=True)
    if len(digest) != _SHA256_BYTES or base64.b64encode(digest).decode() != body.rstrip("=") + "=":
        raise ValueError(body)
    return digest
