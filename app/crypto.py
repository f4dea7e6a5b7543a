"""Encryption of credentials at rest, and the keys of an instance.

AES-256-GCM with the place of the value as associated data: a ciphertext that is moved to another row or
column does not decrypt. Keys form a ring; the first encrypts, all decrypt.
"""

import base64
import binascii
import hashlib
import os
import secrets
from itertools import pairwise
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import ConfigurationError
from app.settings import Settings
from app.settings.values import split_list

KEY_BYTES = 32
KEY_ID_LENGTH = 8
NONCE_BYTES = 12
TOKEN_VERSION = "v1"  # noqa: S105 - names the format of a ciphertext

GENERATED = "encryption.key"
MAKE_A_KEY = "Make a key with: certsync keys generate"

log = structlog.get_logger()


class DecryptionError(Exception):
    """A stored secret does not decrypt: its key is missing, or it was altered or moved."""


class Cipher:
    """Encrypts short texts for one place in the database, named as `table/column/row id`."""

    def __init__(self, keys: list[bytes]) -> None:
        self._primary = _key_id(keys[0])
        self._keys = {_key_id(key): AESGCM(key) for key in keys}

    @property
    def key_ids(self) -> list[str]:
        """Which keys it has; the first encrypts."""
        return list(self._keys)

    def encrypt(self, plaintext: str, place: str) -> str:
        """Return `v1.<key id>.<base64 of nonce and ciphertext>`, valid for `place` alone."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._keys[self._primary].encrypt(nonce, plaintext.encode(), _bound_to(self._primary, place))
        return f"{TOKEN_VERSION}.{self._primary}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, token: str, place: str) -> str:
        """Return the plaintext of a token made for `place`; raises DecryptionError for any other."""
        try:
            version, key_id, body = token.split(".")
            raw = base64.urlsafe_b64decode(body)
            if version != TOKEN_VERSION:
                raise DecryptionError(f"{place}: unknown format {version!r}")
            plaintext = self._keys[key_id].decrypt(
                raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound_to(key_id, place)
            )
        except KeyError as error:
            raise DecryptionError(
                f"{place}: its key {error} is not among CERTSYNC_ENCRYPTION_KEYS"
            ) from error
        except (InvalidTag, ValueError) as error:
            raise DecryptionError(f"{place}: the stored value was altered, or belongs elsewhere") from error
        return plaintext.decode()


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"certsync key id" + key).hexdigest()[:KEY_ID_LENGTH]


def _bound_to(key_id: str, place: str) -> bytes:
    return f"{TOKEN_VERSION}|{key_id}|{place}".encode()


def load_cipher(settings: Settings) -> Cipher:
    """Return the cipher of this instance, its key from the settings or, in development, from `DATA_DIR`.

    Raises ConfigurationError for a key that is not 32 random bytes in base64, is given twice, or signs
    tokens as well; in production when none is set, or the one that encrypts was made up by a person. Such a
    key further down stays until what is under it was rotated away, so that is only warned of.
    """
    if not settings.encryption_keys and settings.environment == "production":
        raise ConfigurationError(f"CERTSYNC_ENCRYPTION_KEYS is not set. {MAKE_A_KEY}")
    texts = [key.get_secret_value() for key in settings.encryption_keys]
    keys = [_decode_key(text) for text in texts or split_list(generated_key(settings.data_dir, GENERATED))]
    if len(set(keys)) < len(keys):
        raise ConfigurationError("CERTSYNC_ENCRYPTION_KEYS has a key twice. Take one of the two out.")
    if settings.secret_key is not None and settings.secret_key.get_secret_value().strip() in texts:
        raise ConfigurationError(
            f"CERTSYNC_SECRET_KEY is one of CERTSYNC_ENCRYPTION_KEYS: whoever may check tokens could read "
            f"passwords. Use another for tokens. {MAKE_A_KEY}"
        )
    if settings.environment == "production":
        if _is_made_up(keys[0]):
            raise ConfigurationError(
                f"CERTSYNC_ENCRYPTION_KEYS: the first key is not random, but a text, a repetition or a "
                f"sequence. {MAKE_A_KEY} Put it before that one and type: certsync keys rotate"
            )
        for key in filter(_is_made_up, keys[1:]):
            log.warning("encryption_key_not_random", key_id=_key_id(key))
    return Cipher(keys)


def load_signing_key(settings: Settings) -> str:
    """Return the key that signs tokens, from the settings or, in development, from `DATA_DIR`.

    Raises ConfigurationError when it is short, and in production when it is not set, or obviously not random.
    """
    if settings.secret_key is not None:
        key = settings.secret_key.get_secret_value()
        if len(key.encode()) < KEY_BYTES:
            raise ConfigurationError(f"CERTSYNC_SECRET_KEY is too short: give at least {KEY_BYTES} bytes")
        if settings.environment == "production" and _repeats(key.encode()):
            raise ConfigurationError(f"CERTSYNC_SECRET_KEY is a repetition or a sequence. {MAKE_A_KEY}")
        return key
    if settings.environment == "production":
        raise ConfigurationError("CERTSYNC_SECRET_KEY is not set; give at least 32 random bytes")
    return generated_key(settings.data_dir, "signing.key")


def new_key() -> str:
    """Return a fresh key as the settings take it: `KEY_BYTES` random bytes in base64."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def generated_key(data_dir: Path, name: str) -> str:
    """Return the key in `DATA_DIR/keys/<name>`, made at first use with mode 0600.

    Two processes may start at once: the key is linked into place whole, and the first one wins.
    """
    path = data_dir / "keys" / name
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"{name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(new_key())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
            log.info("key_generated", file=str(path))
        except FileExistsError:
            log.debug("key_exists", file=str(path))
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"{path} can be read by others; type: chmod 600 {path}")
    return path.read_text(encoding="ascii").strip()


def _decode_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ConfigurationError("CERTSYNC_ENCRYPTION_KEYS: a key is not base64") from error
    if len(key) != KEY_BYTES or len(set(key)) < KEY_BYTES // 4:
        raise ConfigurationError("CERTSYNC_ENCRYPTION_KEYS: a key must be 32 random bytes in base64")
    return key


def _is_made_up(key: bytes) -> bool:
    """Tell whether a key is text, repeats itself or counts: of random ones less than one in 10^14 would."""
    return (key.isascii() and key.decode().isprintable()) or _repeats(key)


def _repeats(key: bytes) -> bool:
    """Tell whether a key has few different bytes, is a repetition of its first half or less, or counts."""
    period = any(key[shift:] == key[:-shift] for shift in range(1, len(key) // 2 + 1))
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    return period or len(steps) == 1 or len(set(key)) < KEY_BYTES // 4
