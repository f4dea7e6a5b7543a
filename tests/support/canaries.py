"""Secrets that are like nothing else, and the search for them in every form in which one could leak."""

import html
import json
import re
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

LEAST = 12
"""Bytes; a shorter part of a secret could be there by chance."""


def canary(name: str) -> str:
    """A password with characters that JSON, URLs, HTML and regular expressions write differently."""
    return f"{name}/Ké\"%&<+'\\ {secrets.token_hex(6)}"


def plain_canary(name: str) -> str:
    """The same where only ASCII without quotes is taken."""
    return f"{name}/+%&={secrets.token_hex(8)}"


def forms(secret: str | bytes) -> set[bytes]:
    """Return what a secret looks like, written in each way that a log, a URL or a dump may use."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    made = {raw, raw.hex().encode(), raw.hex().upper().encode(), repr(raw)[2:-1].encode(), *_base64(raw)}
    if isinstance(secret, str):
        escaped = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
        texts = {
            *escaped,
            *(json.dumps(once)[1:-1] for once in escaped),
            repr(secret)[1:-1],
            html.escape(secret),
            quote(secret),
            quote(secret, safe=""),
            quote_plus(secret),
        }
        texts |= {re.sub("%..", lambda code: code[0].lower(), text) for text in texts if "%" in text}
        made |= {text.encode() for text in texts}
    assert all(len(form) >= LEAST for form in made), "too short to be told from chance"
    return made


def _base64(raw: bytes) -> Iterator[bytes]:
    """Yield the base64 of `raw` wherever it begins in a longer text, without what depends on that text."""
    for before in range(3):
        padded = b"\0" * before + raw
        whole = padded[: len(padded) // 3 * 3]
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(whole)[4 if before else 0 :]


def leaks(hidden: Mapping[str, str | bytes], places: Mapping[str, bytes]) -> list[str]:
    """Return which secrets are in which places."""
    return [
        f"{name} in {place}"
        for name, secret in hidden.items()
        for form in forms(secret)
        for place, content in places.items()
        if form in content
    ]
