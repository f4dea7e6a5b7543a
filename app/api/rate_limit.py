"""Refuses who sends more than its share: counts requests by token, and by address without a valid one.

A token is counted as its own. Who has none, or a wrong one, is counted by address, more strictly, so that
tokens cannot be guessed at leisure; but a token that was good lately gets through from an address that others
have used up: else one broken program would shut out a whole school behind the same address. Plain ASGI.
"""

from collections import OrderedDict

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response
from app.api.request_log import PROBES
from app.errors import RateLimitedError, UnauthorizedError
from app.rate_limits import Count, RateLimits, address_key, token_key

MOST_KNOWN = 10_000
"""Tokens that one process remembers as good; each is a hash of 64 characters."""


class RateLimit:
    """Counts a request before it is served, and one that is answered 401 against its address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        limits: RateLimits | None = (
            scope["app"].state.factory.rate_limits if scope["type"] == "http" else None
        )
        if limits is None:
            await self._app(scope, receive, send)
            return
        address = address_key(scope["client"][0] if scope.get("client") else None)
        given = Headers(scope=scope).get("authorization", "")
        token = token_key(given) if given else ""
        count = await self._take(limits, token, address, probe=scope["path"] in PROBES)
        if count and count.refused:
            refusal = RateLimitedError(
                f"More than {count.limit} requests a minute came from this {count.policy}. Wait for "
                f"{count.retry} s.",
                headers=count.headers(),
            )
            await problem_response(refusal, scope["path"])(scope, receive, send)
            return

        async def send_with_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                shown = count
                if token and self._is_wrong(token, scope, message["status"]):
                    shown = (
                        count
                        if count and count.policy == "address"
                        else await limits.take("address", address)
                    )
                if shown:
                    MutableHeaders(scope=message).update(shown.headers())
            await send(message)

        await self._app(scope, receive, send_with_count)

    async def _take(self, limits: RateLimits, token: str, address: str, *, probe: bool) -> Count | None:
        """Count a request. Who watches the service is not counted, but may not guess tokens there either."""
        if probe and (not token or token in self._known):
            return None
        if probe or not token:
            return await limits.take("address", address)
        if token not in self._known:
            stranger = await limits.look("address", address)
            if stranger and stranger.refused:
                return stranger
        return await limits.take("token", token)

    def _is_wrong(self, token: str, scope: Scope, status: int) -> bool:
        """Take note of what the answer says of the token; tell whether it is none of ours."""
        if status == UnauthorizedError.status:
            self._known.pop(token, None)
            return True
        if scope["state"].get("verified"):
            self._known[token] = None
            self._known.move_to_end(token)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
            return False
        return token not in self._known  # nobody looked at it: whoever sent it is a stranger
