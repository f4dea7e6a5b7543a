"""What every answer tells a browser that might show it: nothing in it runs, is framed, kept or passed on.

The headers are those of the OWASP REST Security Cheat Sheet and of the OWASP Secure Headers project, as far
as they mean something to an API. `Permissions-Policy` is left out: no page of ours can load what would ask
for a camera. Plain ASGI, as `request_log.py`.
"""

import hashlib
import re
from base64 import b64encode
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ERRORS: Final = 400
POLICY: Final = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Of an answer that brings no policy of its own, which are all but the few pages."""
NO_STORE: Final = b"no-store"
COMMON: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""On every answer. Scripts of other origins that CORS lets in are no matter of the last one."""
TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000")
"""For a year, of this host only: what else lives below its name is not ours to decide."""
OWN: Final = ((b"content-security-policy", POLICY), (b"cache-control", NO_STORE))
"""What an answer may say differently: pages their policy, the parts of `/docs` that they may be kept."""

STATIC: Final = "/static-offline-docs"
"""Where the scripts and styles of `/docs` are; they are the same for everyone."""
KEPT: Final = (b"cache-control", b"public, max-age=3600")


def page_policy(page: str, allowed: str = "") -> str:
    """Return the content security policy of a page: what is written in it works, by its SHA-256.

    `allowed` are directives for what the page loads.
    """
    scripts, styles = (
        " ".join(
            f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        )
        for tag in ("script", "style")
    )
    found = (("script-src", scripts), ("style-src", styles))
    own = "".join(f"; {directive} {hashes} 'self'" for directive, hashes in found if hashes)
    return f"{POLICY.decode()}{own}{allowed}"


def security_headers(*, production: bool) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer that says nothing of its own."""
    return [*COMMON, *OWN, *((TRANSPORT,) if production else ())]


class SecurityHeaders:
    """Puts the headers on every answer, whoever gives it."""

    def __init__(self, app: ASGIApp, *, production: bool) -> None:
        self._app = app
        self._headers = security_headers(production=production)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message["headers"])
                if scope["path"].startswith(f"{STATIC}/") and message["status"] < ERRORS:
                    given.append(KEPT)
                names = {name.lower() for name, _ in given}
                message["headers"] = given + [header for header in self._headers if header[0] not in names]
            await send(message)

        await self._app(scope, receive, send_with_headers)
