"""Clients of the Redis of the settings: one server, or the primary that Sentinels name."""

from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from app.embedded_redis import embedded_url
from app.errors import ConfigurationError
from app.settings import Settings

SENTINEL_SCHEMES = {"redis+sentinel": False, "rediss+sentinel": True}
"""Scheme of a URL that names Sentinels, and whether TLS is spoken to them and to the servers."""
SENTINEL_PORT = 26379
SENTINEL_ANSWER_LIMIT = 1.0
"""Seconds that a Sentinel has to connect and to answer, before the next one is asked."""
TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""Parameters of a URL with Sentinels: files of an authority of one's own, and of a client's certificate."""
WRONG = (
    "CERTSYNC_REDIS_URL cannot be read; give redis://host:6379/0, rediss://…, unix:///path, or "
    "redis+sentinel://sentinel-1:26379,sentinel-2:26379/name-of-the-primary"
)

Client = TypeVar("Client", bound=Redis)


class _Careful(AbstractConnection):
    """Writes as redis-py does, but for two traps.

    Of a connection that was reset before a write uvloop raises RuntimeError; it is lost like any other. And
    redis-py limits a write by `asyncio.wait_for`, which on Python 3.11 loses a cancellation that comes when
    the write is done: a worker would not stop. The answer is limited all the same.
    """

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call] # redis-py 5 has no types here
        limit, self.socket_timeout = self.socket_timeout, None
        try:
            await super().send_packed_command(*args, **kwargs)
        except RuntimeError as error:
            raise RedisConnectionError("The connection was closed before a write.") from error
        finally:
            self.socket_timeout = limit


def _careful(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return the class of connection with which a client's pool makes new ones."""
    return type(kind.__name__, (_Careful, kind), {})


class _LooksUpThePrimary(SentinelManagedConnection):
    """Asks the Sentinels before each try: redis-py would spend all tries of a connection on one address."""

    async def connect_to(self, address: tuple[str, int]) -> None:
        patient, self.retry = self.retry, Retry(NoBackoff(), 0)
        try:
            await super().connect_to(address)  # type: ignore[no-untyped-call] # redis-py 5 has no types here
        finally:
            self.retry = patient


class _LooksUpThePrimarySafely(_LooksUpThePrimary, SentinelManagedSSLConnection):
    """The same with TLS."""


def redis_url(settings: Settings) -> str:
    """Return the URL of the Redis to use: the setting's, else that of the embedded server."""
    return settings.redis_url.get_secret_value() if settings.redis_url else embedded_url(settings.data_dir)


def redis_client(settings: Settings, kind: type[Client], **options: Any) -> Client:
    """Return a client, which connects when it is used; `options` are those of a connection of redis-py.

    Behind Sentinels each new connection asks them for the primary, so that a failover is one lost
    connection. Raises ConfigurationError for a URL that cannot be read.
    """
    url = redis_url(settings)
    try:
        parts = urlsplit(url)
        client: Client
        if parts.scheme in SENTINEL_SCHEMES:
            client = _behind_sentinels(parts, kind, options)
        else:
            client = kind.from_url(url, **options)
    except ValueError as error:
        raise ConfigurationError(WRONG) from error
    pool = client.connection_pool
    pool.connection_class = _careful(pool.connection_class)
    return client


def _behind_sentinels(parts: SplitResult, kind: type[Client], options: dict[str, Any]) -> Client:
    """Read `redis+sentinel://user:password@host:port,host:port/service/database`.

    User and password are for the servers; those for the Sentinels, if they ask for any, are the parameters
    `sentinel_username` and `sentinel_password`. Those of `TLS` are for both. Raises ValueError.
    """
    account, _, hosts = parts.netloc.rpartition("@")
    username, _, password = account.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    sentinels = [urlsplit(f"//{host}") for host in hosts.split(",")]
    if not service or not all(one.hostname for one in sentinels):
        raise ValueError("no Sentinel, or no name of the primary")
    parameters = parse_qs(parts.query, strict_parsing=bool(parts.query))
    given = {name: values[0] for name, values in parameters.items()}
    ssl = SENTINEL_SCHEMES[parts.scheme]
    tls = {name: given.pop(name) for name in TLS if ssl and name in given}
    for_sentinels = {
        "ssl": ssl,
        "socket_timeout": SENTINEL_ANSWER_LIMIT,
        "socket_connect_timeout": SENTINEL_ANSWER_LIMIT,
        "username": given.pop("sentinel_username", None),
        "password": given.pop("sentinel_password", None),
        **tls,
    }
    if given:
        raise ValueError("a parameter that means nothing here")
    manager: Any = Sentinel(  # type: ignore[no-untyped-call] # redis-py 5 has no types here
        [(one.hostname, one.port or SENTINEL_PORT) for one in sentinels], sentinel_kwargs=for_sentinels
    )
    client: Client = manager.master_for(
        service,
        redis_class=kind,
        connection_class=_LooksUpThePrimarySafely if ssl else _LooksUpThePrimary,
        db=int(database or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        **tls,
        **options,
    )
    return client


async def close(client: Redis) -> None:
    """Close the client's connections, also those to Sentinels."""
    await client.aclose()
    await close_sentinels(client)


async def close_sentinels(client: Redis) -> None:
    """Close the connections to Sentinels, of a client that is closed by somebody else."""
    if isinstance(client.connection_pool, SentinelConnectionPool):
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def redis_place(settings: Settings) -> str:
    """Return where the Redis of the settings is, to be shown: no password is in it."""
    parts = urlsplit(redis_url(settings))
    return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]
