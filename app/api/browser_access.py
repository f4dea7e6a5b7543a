"""Which pages of other origins may call the API from a browser (CORS): none, unless settings name them."""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from app.settings import Settings

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SENT = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID", "X-Request-ID")
"""Headers that such a page may send, beyond those that any page may."""
SHOWN = (
    "Content-Disposition",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-ID",
)
"""Headers of answers that such a page may read."""


def browser_access(settings: Settings) -> list[Middleware]:
    """Return the framework's own middleware for the origins of the settings; nothing when there are none.

    It stands before the log, so that pages can read every error, those of nobody's making too. It answers the
    questions that browsers ask beforehand, which have no token and do nothing. No cookies: there are none.
    """
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=METHODS,
            allow_headers=SENT,
            expose_headers=SHOWN,
        )
    ]
