"""Credentials at rest, and the keys of an instance."""

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.crypto import Cipher, DecryptionError, generated_key, load_cipher, load_signing_key
from app.errors import ConfigurationError
from app.settings import Settings

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def encoded(key: bytes) -> SecretStr:
    return SecretStr(base64.b64encode(key).decode())


@given(st.text(), st.text())
def test_decrypts_for_its_own_place_only(secret: str, place: str) -> None:
    token = Cipher([NEW]).encrypt(secret, place)
    assert Cipher([NEW]).decrypt(token, place) == secret
    with pytest.raises(DecryptionError, match="altered, or belongs elsewhere"):
        Cipher([NEW]).decrypt(token, place + "x")


def test_older_keys_still_decrypt_and_the_first_encrypts() -> None:
    token = Cipher([OLD]).encrypt("secret", "here")
    assert Cipher([NEW, OLD]).decrypt(token, "here") == "secret"
    with pytest.raises(DecryptionError, match="not among CERTSYNC_ENCRYPTION_KEYS"):
        Cipher([OLD]).decrypt(Cipher([NEW, OLD]).encrypt("secret", "here"), "here")


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-4] + "AAAA", lambda t: "v2" + t[2:], lambda _: "", lambda t: t + ".x"]
)
def test_altered_ciphertext_is_refused(spoil: object) -> None:
    token = Cipher([NEW]).encrypt("secret", "here")
    with pytest.raises(DecryptionError):
        Cipher([NEW]).decrypt(spoil(token), "here")  # type: ignore[operator] # parametrised with lambdas


def test_generated_key_is_private_and_the_same_for_all_who_start_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: generated_key(tmp_path, "signing.key"), range(64)))
    assert len(keys) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["signing.key"]
    assert (tmp_path / "keys" / "signing.key").stat().st_mode & 0o777 == 0o600


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    generated_key(tmp_path, "signing.key")
    (tmp_path / "keys" / "signing.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        generated_key(tmp_path, "signing.key")


@pytest.mark.parametrize("key", [b"short", bytes(32), b"ab" * 16])
def test_weak_encryption_key_is_refused(tmp_path: Path, key: bytes) -> None:
    with pytest.raises(ConfigurationError, match="32 random bytes"):
        load_cipher(Settings(data_dir=tmp_path, encryption_keys=[encoded(key)]))


def test_production_wants_keys_of_its_own(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, environment="production")
    with pytest.raises(ConfigurationError, match="CERTSYNC_ENCRYPTION_KEYS is not set"):
        load_cipher(settings)
    with pytest.raises(ConfigurationError, match="CERTSYNC_SECRET_KEY is not set"):
        load_signing_key(settings)
    assert not (tmp_path / "keys").exists()


def test_short_signing_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="too short"):
        load_signing_key(Settings(data_dir=tmp_path, secret_key=SecretStr("x" * 31)))


def test_keys_can_come_from_files_and_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = os.urandom(32)
    path = tmp_path / "keys.txt"
    path.write_text(f"{encoded(key).get_secret_value()},{encoded(OLD).get_secret_value()}\n")
    monkeypatch.setenv("CERTSYNC_ENCRYPTION_KEYS_FILE", str(path))
    cipher = load_cipher(Settings(data_dir=tmp_path))
    assert cipher.decrypt(Cipher([OLD]).encrypt("secret", "here"), "here") == "secret"
    assert Cipher([key]).decrypt(cipher.encrypt("secret", "here"), "here") == "secret"
