import base64
import hashlib

import pytest

from app.storage.fingerprints import normalise_fingerprint

DIGEST = hashlib.sha256(b"a host key").digest()
BODY = base64.b64encode(DIGEST).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        f"SHA256:{BODY}",
        f"SHA256:{BODY}=",
        BODY,
        f"  sha256:{BODY}\n",
        DIGEST.hex(),
        DIGEST.hex().upper(),
        f"SHA256:{DIGEST.hex(':')}",
    ],
)
def test_spellings_of_one_fingerprint_are_equal(text: str) -> None:
    assert normalise_fingerprint(text) == f"SHA256:{BODY}"


@pytest.mark.parametrize(
    "text", [f"MD5:{DIGEST[:16].hex(':')}", DIGEST[:16].hex(":").upper(), DIGEST[:16].hex()]
)
def test_md5_is_to_be_replaced(text: str) -> None:
    with pytest.raises(ValueError, match="replace it with SHA256:"):
        normalise_fingerprint(text)


@pytest.mark.parametrize(
    "text", ["", "SHA256:", BODY[:-1], BODY + "A", BODY[:-1] + "é", BODY[:-1] + "!", "ssh-ed25519 AAAA", "é"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="43 letters and digits"):
        normalise_fingerprint(text)


def test_bits_that_are_not_part_of_the_digest_are_refused() -> None:
    """43 characters have two bits too many; two texts must never mean one fingerprint unnoticed."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = BODY[:-1] + alphabet[alphabet.index(BODY[-1]) + 1]
    assert base64.b64decode(twin + "=") == DIGEST
    with pytest.raises(ValueError, match="43 letters and digits"):
        normalise_fingerprint(twin)
