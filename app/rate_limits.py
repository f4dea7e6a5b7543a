"""How many requests a minute a token may send, counted over all API processes in Redis.

throttled-py counts, by the generic cell rate algorithm: a minute's requests may come at once, and new ones
are granted evenly, not all together when a minute ends. Redis keeps a time for each key, up to a minute.
"""

import hashlib
from asyncio import timeout
from collections.abc import Coroutine
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from time import monotonic
from typing import Any

import structlog
from redis.asyncio import Redis
from throttled import per_min
from throttled.asyncio import RateLimiterRegistry, RateLimiterType
from throttled.asyncio.store import RedisStore
from throttled.exceptions import StoreUnavailableError

from app.redis_client import close, redis_client
from app.settings import Settings

PREFIX = "certsync:limit"
STRANGERS = 60
"""Requests a minute of an address without a valid token, if tokens do not have fewer: enough to read `/docs`
or to mistype a token, and no more than a guess a second."""
STRANGERS_NETWORK = 64
"""Bits of an IPv6 address that count: the rest is the subscriber's to choose."""
ANSWER_LIMIT = 0.25
"""Seconds that Redis has to count; it answers in less than one thousandth."""
PAUSE = 5.0
"""Seconds without limits after Redis did not count, so that no request but one waits for it in this time."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Count:
    """How a key stands: `left` requests now, all of them in `full` seconds, the next one in `retry`."""

    policy: str
    limit: int
    refused: bool
    left: int
    full: int
    retry: int

    def headers(self) -> dict[str, str]:
        """Return the fields of draft-ietf-httpapi-ratelimit-headers (since -08), and when to come again."""
        standing = {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w=60',
            "RateLimit": f'"{self.policy}";r={self.left};t={self.full}',
        }
        return standing | ({"Retry-After": str(self.retry)} if self.refused else {})


class _Store(RedisStore):
    """The library's store on a client of ours: its own knows neither our URLs nor our connections."""

    def __init__(self, client: Redis) -> None:
        super().__init__()
        backend: Any = self._backend
        backend._client = client  # noqa: SLF001 # there is no other way in for a client that is there


class RateLimits:
    """Counts requests by token and by address. Without Redis nothing is limited, which is logged once."""

    def __init__(self, settings: Settings) -> None:
        limits = {"token": settings.rate_limit, "address": min(STRANGERS, settings.rate_limit)}
        self._client = redis_client(
            settings, Redis, socket_connect_timeout=ANSWER_LIMIT, socket_timeout=ANSWER_LIMIT
        )
        store = _Store(self._client)
        kind = RateLimiterRegistry.get(RateLimiterType.GCRA.value)
        self._limiters = {
            name: kind(per_min(limit), store, key_prefix=f"{PREFIX}:{name}") for name, limit in limits.items()
        }
        self._down_until = 0.0
        self._down = False

    async def take(self, policy: str, key: str) -> Count | None:
        """Count a request; None when Redis does not answer."""
        result = await self._ask(self._limiters[policy].limit(key))
        return result and self._count(policy, result.limited, result.state)

    async def look(self, policy: str, key: str) -> Count | None:
        """Return how a key stands, without counting; None when Redis does not answer."""
        state = await self._ask(self._limiters[policy].peek(key))
        return state and self._count(policy, state.remaining < 1, state)

    def _count(self, policy: str, refused: bool, state: Any) -> Count:
        left, retry = int(state.remaining), max(1, ceil(state.retry_after))
        return Count(policy, state.limit, refused, left, ceil(state.reset_after), retry)

    async def _ask(self, work: Coroutine[Any, Any, Any]) -> Any:
        now = monotonic()
        if now < self._down_until:
            work.close()
            return None
        if self._down:
            self._down_until = now + PAUSE  # the others go on while this one tries
        try:
            async with timeout(ANSWER_LIMIT):  # a task of its own would cost as much as the rest
                answer = await work
        except (StoreUnavailableError, OSError) as error:
            if not self._down:
                log.warning("rate_limits_off", error=type(error.__cause__ or error).__name__)
            self._down, self._down_until = True, monotonic() + PAUSE
            return None
        if self._down:
            log.info("rate_limits_on")
            self._down, self._down_until = False, 0.0
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await close(self._client)


def token_key(credentials: str) -> str:
    """Return what stands for a token in Redis: its SHA-256, from which nobody gets the token back.

    However `Bearer` is spelt before it: a token has one count.
    """
    scheme, _, token = credentials.partition(" ")
    counted = token.strip() if scheme.lower() == "bearer" else credentials
    return hashlib.sha256(counted.encode()).hexdigest()


def address_key(host: str | None) -> str:
    """Return what stands for the address of a connection; an IPv6 subscriber is one, with all addresses."""
    try:
        address = ip_address(host or "")
    except ValueError:  # a Unix socket has none
        return "none"
    if isinstance(address, IPv6Address) and not address.ipv4_mapped:
        return str(ip_network((address, STRANGERS_NETWORK), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
