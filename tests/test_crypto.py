"""Credentials at rest, and the keys of an instance."""

import base64
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.crypto import Cipher, DecryptionError, generated_key, load_cipher, load_signing_key, new_key
from app.errors import ConfigurationError
from app.settings import Settings
from tests.support.processes import ROOT

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


ELEVEN = bytes.fromhex("8f03c5217aee59011c94b6")
MADE_UP = [
    OLD,
    bytes(range(255, 223, -1)),
    bytes(range(0, 256, 8)),
    ELEVEN[:8] * 4,
    (ELEVEN * 3)[:32],
    b"an example key that we all know!",
    b"0123456789abcdef0123456789ABCDEF",
]


@pytest.mark.parametrize("key", MADE_UP, ids=range(len(MADE_UP)))
def test_production_refuses_a_key_that_is_not_random(tmp_path: Path, key: bytes) -> None:
    for keys in ([encoded(key)], [encoded(key), SecretStr(new_key())]):
        with pytest.raises(ConfigurationError, match=r"not random.*certsync keys generate"):
            load_cipher(Settings(data_dir=tmp_path, environment="production", encryption_keys=keys))


@pytest.mark.parametrize("key", MADE_UP, ids=range(len(MADE_UP)))
def test_production_warns_of_a_former_key_that_is_not_random(tmp_path: Path, key: bytes) -> None:
    """An upgrade comes with one, and only who has it can rotate it away."""
    before, fresh = Cipher([key]), SecretStr(new_key())
    settings = Settings(data_dir=tmp_path, environment="production", encryption_keys=[fresh, encoded(key)])
    with structlog.testing.capture_logs() as logs:
        cipher = load_cipher(settings)
    assert cipher.decrypt(before.encrypt("secret", "here"), "here") == "secret"
    [warning] = logs
    [key_id] = before.key_ids
    assert warning == {"event": "encryption_key_not_random", "log_level": "warning", "key_id": key_id}


def test_a_fresh_key_is_never_refused(tmp_path: Path) -> None:
    for _ in range(200):
        one, other, signing = (SecretStr(new_key()) for _ in range(3))
        settings = Settings(
            data_dir=tmp_path, environment="production", encryption_keys=[one, other], secret_key=signing
        )
        with structlog.testing.capture_logs() as logs:
            load_cipher(settings)
        assert logs == []
        load_signing_key(settings)


def test_a_key_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    keys = [encoded(NEW), encoded(OLD), encoded(NEW)]
    with pytest.raises(ConfigurationError, match="twice"):
        load_cipher(Settings(data_dir=tmp_path, encryption_keys=keys))


def test_the_key_of_tokens_is_no_encryption_key(tmp_path: Path) -> None:
    keys = [encoded(NEW), encoded(OLD)]
    with pytest.raises(ConfigurationError, match="SECRET_KEY is one of"):
        load_cipher(Settings(data_dir=tmp_path, encryption_keys=keys, secret_key=keys[1]))


@pytest.mark.parametrize("key", ["k" * 40, "changeme-changeme-changeme-changeme", "0123456789" * 4])
def test_production_refuses_a_signing_key_that_repeats_itself(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"SECRET_KEY.*certsync keys generate"):
        load_signing_key(Settings(data_dir=tmp_path, environment="production", secret_key=SecretStr(key)))


def test_no_key_stands_in_what_people_copy() -> None:
    """Documentation and files to deploy with say how to make one instead."""
    copied = [
        *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").iterdir(),
        *(ROOT / name for name in ("README.md", "compose.yaml", "Dockerfile", "Makefile")),
    ]  # fmt: skip
    for path in copied:
        for word in re.findall(r"[A-Za-z0-9+/]{43}=", path.read_text(encoding="utf-8")):
            assert len(base64.b64decode(word)) != 32, path


def test_the_generated_key_is_rotated_in_its_file(tmp_path: Path) -> None:
    """A development instance has its keys there, one a line."""
    before = load_cipher(Settings(data_dir=tmp_path)).encrypt("secret", "here")
    path = tmp_path / "keys" / "encryption.key"
    path.write_text(f"{new_key()}\n{path.read_text()}\n")
    assert load_cipher(Settings(data_dir=tmp_path)).decrypt(before, "here") == "secret"


def test_a_cipher_does_not_show_its_keys() -> None:
    shown = repr(Cipher([NEW])) + str(Cipher([NEW])) + str(Cipher([NEW]).key_ids)
    for form in (NEW.hex(), base64.b64encode(NEW).decode(), repr(NEW)[2:-1]):
        assert form not in shown


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
