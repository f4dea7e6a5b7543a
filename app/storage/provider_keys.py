"""The public keys of the identity provider, as OpenID Connect Discovery finds them, kept for a while."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import structlog

FRESH_SECONDS = 300.0
"""Keys younger than this are used as they are; a key that the provider withdraws goes after it."""
STALE_SECONDS = 3600.0
"""While the provider cannot be reached, keys up to this old still count: its outage is not ours at once."""
AWAY_SECONDS = 30.0
"""So long after a fetch that failed nobody waits for the next one, while the keys of before still count."""
PAUSE_SECONDS = 10.0
"""Between two fetches, whatever is asked: unknown key ids and outages must not become a storm of requests."""
FETCH_SECONDS = 5.0
MAX_BYTES = 1024**2
HTTP_OK = 200

log = structlog.get_logger()


class ProviderUnavailable(Exception):  # noqa: N818 - a state of the provider; the message says what it is
    """The provider's keys cannot be had, and those of before are too old."""


@dataclass(frozen=True)
class ProviderKey:
    """A public key; `kind` is RSA, EC or OKP, `algorithm` the only one it is for, if the provider says so."""

    key_id: str | None
    kind: str | None
    algorithm: str | None
    key: Any


class ProviderKeys:
    """The signing keys of one issuer, for one process.

    `jwks_url` is where the keys are; without it the issuer's discovery document says so.
    """

    def __init__(self, issuer: str, jwks_url: str | None) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._keys: list[ProviderKey] = []
        self._fetched = self._ended = -STALE_SECONDS
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None
        self._client = httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False)

    async def find(self, key_id: str | None) -> ProviderKey | None:
        """Return the key of this id, or None when the provider has none.

        Without an id it is the provider's only key, if it has just one. An id that is not known is looked
        for again, since the provider may have changed its keys. Raises ProviderUnavailable.
        """
        await self._refresh()
        if (key := self._match(key_id)) is None:
            await asyncio.shield(self._renewal())  # that it failed must not pass for "there is no such key"
            key = self._match(key_id)
        return key

    async def check(self) -> int:
        """Return the number of keys at hand, for whoever watches; raises ProviderUnavailable."""
        await self._refresh()
        if time.monotonic() - self._fetched > FRESH_SECONDS + FETCH_SECONDS:
            raise ProviderUnavailable("does not answer; keys of before are used")
        return len(self._keys)

    async def _refresh(self) -> None:
        """Fetch the keys when they are old, before one of them counts: it may have been withdrawn."""
        now = time.monotonic()
        if now - self._fetched <= FRESH_SECONDS:
            return
        renewal = self._renewal()
        failed_lately = self._failed and now - self._ended < AWAY_SECONDS
        try:
            if not (failed_lately and now - self._fetched <= STALE_SECONDS):
                await asyncio.shield(renewal)
        except ProviderUnavailable:
            if now - self._fetched > STALE_SECONDS:
                raise

    async def close(self) -> None:
        """End what is under way and close the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
        await self._client.aclose()

    def _match(self, key_id: str | None) -> ProviderKey | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == key_id), None)

    def _renewal(self) -> asyncio.Task[None]:
        """Return the fetch under way, the last one if that was a moment ago, else one that begins now.

        A task of its own: who waits may be cancelled, as a probe is, and the others still get the keys.
        """
        last = self._fetching
        if last is None or (last.done() and time.monotonic() - self._ended > PAUSE_SECONDS):
            last = self._fetching = asyncio.create_task(self._fetch())
            last.add_done_callback(_heed)
        return last

    async def _fetch(self) -> None:
        """Get the keys anew; raises ProviderUnavailable."""
        try:
            self._keys = _signing_keys(await self._document(await self._address()))
            self._fetched, self._failed = time.monotonic(), False
        except Exception as error:  # whatever a provider answers, and in whichever way it cannot be read
            self._failed = True
            log.warning("oidc_keys_not_fetched", issuer=self._issuer, error=type(error).__name__)
            raise ProviderUnavailable(f"its keys cannot be had ({type(error).__name__})") from error
        finally:
            self._ended = time.monotonic()
        log.debug("oidc_keys_fetched", issuer=self._issuer, keys=len(self._keys))

    async def _address(self) -> str:
        """Return where the keys are; raises ValueError when the discovery document is another issuer's."""
        if self._jwks_url is not None:
            return self._jwks_url
        document = await self._document(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer:  # OpenID Connect Discovery 1.0, section 4.3
            raise ValueError("the discovery document names another issuer")
        address = document.get("jwks_uri")
        if not isinstance(address, str) or _scheme(address) < _scheme(self._issuer):
            raise ValueError("the discovery document names no usable jwks_uri")
        return address

    async def _document(self, url: str) -> dict[str, Any]:
        """Return a JSON object of the provider; raises httpx.HTTPError and ValueError."""
        async with asyncio.timeout(FETCH_SECONDS), self._client.stream("GET", url) as response:
            if response.status_code != HTTP_OK:
                raise ValueError(f"status {response.status_code}")
            content = bytearray()
            async for part in response.aiter_bytes():
                content += part
                if len(content) > MAX_BYTES:
                    raise ValueError("too long")
        document = json.loads(content)
        if not isinstance(document, dict):
            raise TypeError("no JSON object")
        return document


def _heed(task: asyncio.Task[None]) -> None:
    """Take note of how a fetch ended that nobody may have waited for; it was logged."""
    if not task.cancelled():
        task.exception()


def _scheme(url: str) -> int:
    """Return how safe the scheme of a URL is: an issuer of `https` cannot send us to `http`."""
    return {"https": 2, "http": 1}.get(url.partition(":")[0].lower(), 0)


def _signing_keys(document: dict[str, Any]) -> list[ProviderKey]:
    """Return the keys of a JWK set that sign; those of unknown kinds are left out (RFC 7517, section 5)."""
    found = []
    for entry in document["keys"]:
        try:
            key = jwt.PyJWK(entry)
        except (jwt.PyJWTError, AttributeError):
            log.debug("oidc_key_left_out")
            continue
        if key.public_key_use in ("sig", None):
            found.append(ProviderKey(key.key_id, key.key_type, entry.get("alg"), key.key))
    if not found:
        raise ValueError("no key of a known kind")
    return found
