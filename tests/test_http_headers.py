"""What answers say to browsers, which pages of others get in, and whose word for an address is taken."""

import asyncio
import html.parser
import re
import secrets
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from app import migrations
from app.api import limits
from app.main import create_app
from app.settings import Settings
from tests.support.api import Api, problem, running_api
from tests.support.processes import until_async
from tests.support.runs import ended_run
from tests.support.serving import STARTS, Serving

COMMON = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
ORIGIN = "https://erp.example.org"
ASSETS = "/static-offline-docs/"


def guarded(response: httpx.Response, *, production: bool = False) -> None:
    for name, value in COMMON.items():
        assert response.headers.get_list(name) == [value]
    (policy,) = response.headers.get_list("content-security-policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "strict-transport-security" in response.headers if production else True
    kept = str(response.request.url.path).startswith(ASSETS) and response.status_code == 200
    assert response.headers.get_list("cache-control") == ["public, max-age=3600" if kept else "no-store"]
    assert not {"server", "x-powered-by"} & set(response.headers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/employees", 200),
        ("GET", "/nothing", 404),
        ("PUT", "/runs", 405),
        ("POST", "/tasks", 422),
        ("GET", "/health/live", 200),
        ("GET", "/health/ready", 200),
        ("GET", "/metrics", 403),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs", 200),
        ("GET", "/problems/conflict", 200),
    ],
)
async def test_every_answer_is_guarded(api: Api, method: str, path: str, status: int) -> None:
    response = await api.call(method, path)
    assert response.status_code == status
    guarded(response)


async def test_errors_of_nobodys_making_are_guarded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise LookupError

    monkeypatch.setattr(type(api.factory.tasks), "page", fail)
    response = await api.get("/tasks")
    problem(response, 500, "internal-error")
    guarded(response)
    monkeypatch.setattr(limits, "ANSWER_LIMIT", 0.0)
    late = await api.get("/runs")
    problem(late, 503, "took-too-long")
    guarded(late)


async def test_downloads_and_streams_are_guarded(api: Api) -> None:
    await api.add(run := ended_run())
    for part in ("report.json", "report.pdf", "skipped.csv", "rejected.csv", "changes.csv", "events"):
        answer = await api.get(f"/runs/{run.id}/{part}")
        guarded(answer)
        kind = answer.headers["content-type"]
        assert kind.endswith("charset=utf-8") or not kind.startswith("text/"), part
        if kind.startswith(("text/csv", "text/plain")):
            stem, _, suffix = part.partition(".")
            named = f'attachment; filename="{stem}-{run.id}.{suffix or "txt"}"'
            assert answer.headers["content-disposition"] == named


async def test_an_etag_is_of_use_though_nothing_is_kept(api: Api) -> None:
    person = {"last_name": "Marsh", "first_name": "K", "status": "active"}
    etag = (await api.call("PUT", "/employees/1", person)).headers["etag"]
    changed = await api.call("PUT", "/employees/1", person | {"first_name": "L"}, headers={"If-Match": etag})
    assert changed.status_code == 200


async def test_only_production_insists_on_tls(settings: Settings, api: Api) -> None:
    assert "strict-transport-security" not in (await api.get("/tasks")).headers
    key, another = (SecretStr(b64encode(secrets.token_bytes(32)).decode()) for _ in range(2))
    keys = {"secret_key": key, "encryption_keys": [another], "allow_instance_tokens": True}
    production = settings.model_copy(update=keys | {"environment": "production", "rate_limit_per_minute": 0})
    built = create_app(production)
    async with built.router.lifespan_context(built):
        transport = httpx.ASGITransport(app=built)
        async with httpx.AsyncClient(transport=transport, base_url="http://certsync") as client:
            guarded(await client.get("/api/v1/tasks"), production=True)


class Page(html.parser.HTMLParser):
    """Collects the addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("iframe", "object", "base")
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


async def test_the_page_of_the_api_loads_nothing_of_others(api: Api) -> None:
    page = await api.client.get("/docs")
    addresses = Page(page.text).addresses
    assert len(addresses) == 3
    assert '"validatorUrl": null' in page.text, "its default would send our address to a third party"
    policy = page.headers["content-security-policy"]
    assert "http" not in policy
    for address in addresses:
        assert address.startswith(ASSETS)
        asset = await api.client.get(address)
        assert asset.status_code == 200
        guarded(asset)
        if address.endswith(".css"):
            assert not re.search(r"@import|url\((?!['\"]?data:)", asset.text)


async def test_a_script_that_is_not_ours_does_not_run_there(api: Api) -> None:
    for path in ("/docs", "/problems/conflict"):
        page = await api.client.get(path)
        hashes = re.findall(r"'sha256-[^']+'", page.headers["content-security-policy"])
        inline = re.findall(r"<(?:script|style)>", page.text)
        assert len(hashes) == len(inline) == 1


async def test_no_other_origin_gets_in_by_default(api: Api) -> None:
    answer = await api.get("/tasks", headers={"Origin": ORIGIN})
    asked = await api.call("OPTIONS", "/tasks", role=None, headers=preflight(ORIGIN))
    assert asked.status_code == 405
    for response in (answer, asked):
        assert not [name for name in response.headers if name.startswith("access-control")]


def preflight(origin: str, method: str = "PATCH", wanted: str = "authorization,if-match") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": wanted,
    }


async def test_an_origin_of_the_settings_gets_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_api(settings.model_copy(update={"cors_origins": [ORIGIN]})) as api:
        asked = await api.call("OPTIONS", "/tasks/1", role=None, headers=preflight(ORIGIN))
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == ORIGIN
        assert "PATCH" in asked.headers["access-control-allow-methods"]
        for name in ("authorization", "if-match", "idempotency-key", "last-event-id"):
            assert name in asked.headers["access-control-allow-headers"].lower()
        guarded(asked)
        for other in ("https://evil.example", "http://erp.example.org", "null", f"{ORIGIN}.evil.example"):
            assert (
                await api.call("OPTIONS", "/tasks", role=None, headers=preflight(other))
            ).status_code == 400
            answer = await api.get("/tasks", headers={"Origin": other})
            assert "access-control-allow-origin" not in answer.headers
            assert "Origin" in answer.headers["vary"]
        monkeypatch.setattr(limits, "ANSWER_LIMIT", 0.0)
        late = await api.get("/tasks", headers={"Origin": ORIGIN})
        assert (late.status_code, late.headers["access-control-allow-origin"]) == (503, ORIGIN)
        shown = late.headers["access-control-expose-headers"]
        assert {"ETag", "Location", "Retry-After", "RateLimit", "Idempotency-Replayed"} <= set(
            shown.split(", ")
        )
        assert "access-control-allow-credentials" not in late.headers


@pytest.mark.parametrize(
    "origin", ["erp.example.org", "https://erp.example.org/", "https://*.example.org", "null"]
)
def test_what_no_browser_sends_is_no_origin(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTSYNC_CORS_ORIGINS", origin)
    with pytest.raises(ValidationError, match="is not an origin"):
        Settings()


def test_every_origin_at_once_is_for_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTSYNC_CORS_ORIGINS", f"*, {ORIGIN}")
    assert Settings().cors_origins == ["*", ORIGIN]
    with pytest.raises(ValidationError, match="CORS_ORIGINS may not be \\* in production"):
        Settings(environment="production")


def test_whom_to_believe_is_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [str(each) for each in Settings().trusted_proxies] == ["127.0.0.1/32"]
    monkeypatch.setenv("CERTSYNC_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    assert [str(each) for each in Settings().trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    monkeypatch.setenv("CERTSYNC_TRUSTED_PROXIES", "*")
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("trusted", ["127.0.0.1", "192.0.2.1"])
async def test_whose_word_for_an_address_is_taken(tmp_path: Path, redis_url: SecretStr, trusted: str) -> None:
    migrations.upgrade(Settings(data_dir=tmp_path))
    variables = {
        "CERTSYNC_RATE_LIMIT_PER_MINUTE": "2",
        "CERTSYNC_REDIS_URL": redis_url.get_secret_value(),
        "CERTSYNC_TRUSTED_PROXIES": trusted,
    }

    def ask(number: int, *, first: bool) -> int:
        """Say that it came by several addresses; the last one is what a proxy adds."""
        chain = f"198.51.100.{number}, 203.0.113.9" if first else f"203.0.113.9, 198.51.100.{number}"
        url = f"http://127.0.0.1:{server.port}/problems/conflict"
        return httpx.get(url, headers={"X-Forwarded-For": chain}, trust_env=False).status_code

    server = Serving(tmp_path, 1, variables)
    try:
        await until_async(server.answers, STARTS)
        last = [await asyncio.to_thread(ask, number, first=False) for number in range(4)]
        first = [await asyncio.to_thread(ask, number, first=True) for number in range(4)]
    finally:
        server.process.kill()
        server.process.wait()
    if trusted == "127.0.0.1":
        assert (last, first) == ([200] * 4, [200, 200, 429, 429])
    else:
        assert (last, first) == ([200, 200, 429, 429], [429] * 4)
