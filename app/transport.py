"""Which connections of a deployment go over a network in clear, where others could read or change them.

TLS to the database, Redis, the bucket and the log server is a matter of their URLs; a driver's default falls
back to no TLS without a word (libpq: `sslmode=prefer`). So production says it at every start.
"""

import ipaddress
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import structlog

from app.database_urls import database_url
from app.settings import Settings

VERIFIED = frozenset({"verify-ca", "verify-full"})
"""Values of `sslmode` with which libpq looks at the server's certificate."""
ENCRYPTED = frozenset({"rediss", "rediss+sentinel", "https", "tls"})
LOCAL = frozenset({"", "localhost"})

log = structlog.get_logger()


def warn_of_clear_connections(settings: Settings) -> None:
    """Log a warning for each service that production reaches without TLS; called once at the start."""
    if settings.environment == "production":
        for service, remedy in clear_connections(settings):
            log.warning("connection_not_encrypted", service=service, remedy=remedy)


def clear_connections(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the name of each service that is reached in clear, or unverified, and what to set.

    Those of this machine are left out.
    """
    database = database_url(settings)
    mode = database.query.get("sslmode") or os.environ.get("PGSSLMODE")
    address = database.query.get("hostaddr") or os.environ.get("PGHOSTADDR")
    host = str(address or database.query.get("host") or database.host or os.environ.get("PGHOST", ""))
    if database.get_backend_name() == "postgresql" and not _is_local(host) and mode not in VERIFIED:
        yield "database", "sslmode=verify-full in CERTSYNC_DATABASE_URL"
    redis = settings.redis_url.get_secret_value() if settings.redis_url else ""
    for service, url, remedy in (
        ("redis", redis, "rediss:// in CERTSYNC_REDIS_URL"),
        ("storage", settings.storage_endpoint or "", "https:// in CERTSYNC_STORAGE_ENDPOINT"),
        ("syslog", settings.syslog_address or "", "tls:// in CERTSYNC_SYSLOG_ADDRESS"),
    ):
        parts = urlsplit(url)
        hosts = [place.rsplit("@")[-1] for place in parts.netloc.split(",")]
        if parts.scheme not in ENCRYPTED and not all(_is_local(_without_port(place)) for place in hosts):
            yield service, remedy


def _without_port(place: str) -> str:
    return urlsplit(f"//{place}").hostname or ""


def _is_local(host: str) -> bool:
    """Tell whether a host is this machine, or the path of a socket."""
    if host in LOCAL or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
