"""Private keys of a connection: read, and refused with a reason when they cannot serve."""

import asyncssh

from app.storage.ssh_algorithms import HOST_KEY_ALGORITHMS


def check_private_key(text: str, passphrase: str | None) -> None:
    """Raise ValueError with what to do when `text` is not a private key that can log in.

    `text` is OpenSSH's, PKCS#1's or PKCS#8's text form; `passphrase` opens it if it is encrypted.
    Deriving the key of an encrypted one takes a moment by design: call it in a thread.
    """
    load_private_key(text, passphrase)


def load_private_key(text: str, passphrase: str | None) -> asyncssh.SSHKey:
    """Return the key in `text`; the errors are those of `check_private_key`."""
    if text.lstrip().startswith("PuTTY-User-Key-File"):
        raise ValueError("This is a PuTTY key; export it with PuTTYgen, Conversions, Export OpenSSH key")
    if text.lstrip().startswith(("ssh-", "ecdsa-")) or "PUBLIC KEY" in text:
        raise ValueError("This is the public half of a key; give the private key, the file without .pub")
    key = _import(text, passphrase)
    if key.get_algorithm() not in HOST_KEY_ALGORITHMS:
        raise ValueError(
            f"Keys of type {key.get_algorithm()} are not accepted; "
            "make one with `ssh-keygen -t ed25519` and register it with the state"
        )
    return key


def _import(text: str, passphrase: str | None) -> asyncssh.SSHKey:
    """Return the key; a passphrase is asked of it only when it is encrypted."""
    try:
        return asyncssh.import_private_key(text)
    except asyncssh.KeyImportError as error:
        if "Passphrase must be specified" not in str(error):
            raise ValueError(
                "This is not a complete private key; give the whole text, its BEGIN and END lines included"
            ) from None
    if not passphrase:
        raise ValueError("The private key is encrypted; give its passphrase as the password")
    try:
        return asyncssh.import_private_key(text, passphrase)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise ValueError(
            "The passphrase does not open the private key; give the right one as the password"
        ) from None
