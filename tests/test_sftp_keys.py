import asyncssh
import pytest

from app.storage.sftp import check_private_key

KEY = asyncssh.generate_private_key("ssh-ed25519")
PLAIN = KEY.export_private_key().decode()
ENCRYPTED = KEY.export_private_key("pkcs8-pem", passphrase="opens it").decode()


@pytest.mark.parametrize(
    ("text", "passphrase"),
    [(PLAIN, None), (PLAIN.replace("\n", "\r\n"), "unneeded"), (ENCRYPTED, "opens it")],
)
def test_usable_keys(text: str, passphrase: str | None) -> None:
    check_private_key(text, passphrase)


@pytest.mark.parametrize(
    ("text", "passphrase", "reason"),
    [
        ("", None, "not a complete private key"),
        ("hunter2", None, "not a complete private key"),
        ("é", None, "not a complete private key"),
        (PLAIN[: len(PLAIN) // 2], None, "not a complete private key"),
        (KEY.export_public_key().decode(), None, "public half"),
        (KEY.export_public_key("pkcs8-pem").decode(), None, "public half"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", None, "PuTTYgen"),
        (ENCRYPTED, None, "give its passphrase"),
        (ENCRYPTED, "", "give its passphrase"),
        (ENCRYPTED, "wrong", "does not open"),
        (asyncssh.generate_private_key("ssh-dss").export_private_key().decode(), None, "type ssh-dss"),
    ],
    ids=range(11),  # the keys are made anew by every process that collects them
)
def test_unusable_keys_say_why(text: str, passphrase: str | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        check_private_key(text, passphrase)
    assert text[:200] not in str(caught.value) or not text
