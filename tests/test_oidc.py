"""Signing in with tokens of an identity provider, a real one, and with what others make of its tokens."""

import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.constants import Role
from app.services.tokens import issue_token
from app.settings import Settings
from app.storage import provider_keys
from tests.support.api import HERE, THERE, Api, problem, running_api
from tests.support.oidc import ADMIN, AUDIENCE, Claims, Provider, bearer, make_key

Start = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def start(migrated_sqlite: Path, tmp_path: Path, provider: Provider) -> Start:
    """Start the API with the provider, and with settings beside it."""

    @asynccontextmanager
    async def started(**settings: Any) -> AsyncIterator[Api]:
        shutil.copy(migrated_sqlite, tmp_path / "certsync.db")
        given = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE, **settings}
        async with running_api(Settings(data_dir=tmp_path, **given)) as api:
            yield api

    return started


async def asked(api: Api, token: str, path: str = "/tasks") -> Any:
    return await api.get(path, role=None, headers=bearer(token))


async def test_tokens_of_the_provider_are_taken_with_their_role_and_district(
    start: Start, provider: Provider
) -> None:
    async with start() as api:
        body = {"description": "x", "status": "inactive"}
        made = await api.call("POST", "/tasks", body, role=None, headers=bearer(provider.token("erp")))
        assert made.status_code == 201, made.text
        assert made.json()["created_by"] == "erp"
        assert len((await asked(api, provider.token("reader"))).json()["items"]) == 1
        refused = await api.call("POST", "/tasks", body, role=None, headers=bearer(provider.token("reader")))
        assert "`admin`" in problem(refused, 403, "forbidden")["detail"]
        assert (await asked(api, provider.token("prometheus"), "/metrics")).status_code == 200
        problem(await asked(api, provider.token("prometheus")), 403, "forbidden")
        elsewhere = provider.forged({"district": THERE})
        assert (await asked(api, elsewhere)).json()["items"] == []


async def test_claims_are_mapped_by_settings(start: Start, provider: Provider) -> None:
    mapped: dict[str, Any] = {
        "oidc_role_claim": "realm.groups",
        "oidc_roles": {"certsync-hr": Role.HR, "certsync-viewers": Role.VIEWER},
        "oidc_district_claim": "tenant",
        "oidc_districts": {"guid-1": HERE, "guid-2": THERE},
        "oidc_user_claim": "client_id",
    }
    async with start(**mapped) as api:
        token = provider.token("groups")
        assert (await asked(api, token, "/certifications")).status_code == 200
        refused = await api.call("POST", "/tasks", {}, role=None, headers=bearer(token))
        assert "your token has `hr`" in problem(refused, 403, "forbidden")["detail"]
        for change, told in (
            ({"tenant": "guid-3"}, "no district"),
            ({"tenant": ["guid-1", "guid-2"]}, "more than one district"),
            ({"tenant": None}, "no district"),
            ({"realm": {"groups": ["staff"]}}, "no role"),
            ({"realm": "certsync-hr"}, "no role"),
        ):
            claims = {"client_id": "x", "tenant": "guid-1", "realm": {"groups": ["certsync-hr"]}, **change}
            refused = await asked(api, provider.forged(claims))
            assert told in problem(refused, 403, "forbidden")["detail"], change


async def test_a_deployment_of_one_district_needs_no_claim(start: Start, provider: Provider) -> None:
    async with start(oidc_district=THERE) as api:
        assert (await asked(api, provider.forged({"district": None}))).status_code == 200


async def test_how_somebody_signed_in_can_be_asked_for(start: Start, provider: Provider) -> None:
    async with start(oidc_required_claims={"amr": ["mfa", "hwk"], "acr": ["aal2"]}) as api:
        assert (await asked(api, provider.forged({"amr": ["pwd", "mfa"], "acr": "aal2"}))).status_code == 200
        assert (await asked(api, provider.forged({"amr": "hwk", "acr": ["aal2"]}))).status_code == 200
        wrong: tuple[tuple[str, Claims], ...] = (
            ("amr", {"amr": ["pwd"], "acr": "aal2"}),
            ("amr", {"acr": "aal2"}),
            ("acr", {"amr": "mfa"}),
            ("acr", {"amr": "mfa", "acr": "aal1"}),
        )
        for name, claims in wrong:
            refused = await asked(api, provider.forged(claims))
            assert f"`{name}`" in problem(refused, 403, "forbidden")["detail"]


async def test_the_age_of_a_token_is_bounded(start: Start, provider: Provider) -> None:
    issued = {"iat": -timedelta(minutes=40), "exp": timedelta(days=7)}
    async with start(oidc_max_token_hours=1) as api:
        assert (await asked(api, provider.forged(issued))).status_code == 200
    async with start(oidc_max_token_hours=0.5) as api:
        refused = await asked(api, provider.forged(issued))
        assert "too long ago" in problem(refused, 401, "unauthorized")["detail"]


@pytest.mark.parametrize(
    ("change", "headers"),
    [
        ({"aud": "https://another.example"}, {}),
        ({"aud": None}, {}),
        ({"iss": "https://another.example"}, {}),
        ({"iss": None}, {}),
        ({"exp": None}, {}),
        ({"exp": -timedelta(minutes=2)}, {}),
        ({"nbf": timedelta(minutes=2)}, {}),
        ({"iat": timedelta(minutes=2)}, {}),
        ({"iat": None}, {}),
        ({"iat": -timedelta(hours=25)}, {}),
        ({"sub": None}, {}),
        ({"sub": "service:erp"}, {}),
        ({"sub": ["kmarsh"]}, {}),
        ({"district": "nowhere"}, {}),
        ({"district": "\ud800"}, {}),
        ({"district": "a\x00b"}, {}),
        ({}, {"typ": "logout+jwt"}),
        ({}, {"typ": ["JWT"]}),
        ({}, {"kid": "unknown"}),
        ({}, {"crit": ["exp"]}),
        ({}, {"jku": "http://127.0.0.1:1/keys", "kid": "unknown"}),
    ],
    ids="-".join,
)
async def test_tokens_that_are_wrong(
    start: Start, provider: Provider, change: Claims, headers: Claims
) -> None:
    async with start() as api:
        assert (await asked(api, provider.forged({}))).status_code == 200
        response = await asked(api, provider.forged(change, headers=headers))
        problem(response, 401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_clocks_may_differ_a_little(start: Start, provider: Provider) -> None:
    late, early = -timedelta(seconds=20), timedelta(seconds=20)
    async with start(oidc_leeway=60) as api:
        assert (await asked(api, provider.forged({"exp": late, "nbf": early}))).status_code == 200
    async with start(oidc_leeway=0) as api:
        problem(await asked(api, provider.forged({"exp": late})), 401, "unauthorized")


async def test_signatures_that_prove_nothing(start: Start, provider: Provider) -> None:
    public = jwt.PyJWK(provider.keys[0], algorithm="RS256").key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = provider.forged({})
    payload = jwt.decode(good, options={"verify_signature": False})
    another = Provider({}, keys=[{**make_key("first")}], port=provider.port)
    unsigned = jwt.encode(payload, "", algorithm="none", headers={"kid": "first"})
    by_secret = jwt.PyJWS().encode(  # the library refuses to sign with a public key, an attacker does not
        json.dumps(payload).encode(), pem.hex(), algorithm="HS256", headers={"kid": "first"}
    )
    header = jwt.utils.base64url_encode(b'{"alg": "ES256", "kid": "first"}').decode()
    another_kind = f"{header}.{good.partition('.')[2]}"  # an elliptic algorithm, for a key of RSA
    async with start() as api:
        for token in (
            another.forged({}),  # the same issuer and key id, another key
            unsigned,
            by_secret,
            provider.forged({}, algorithm="RS512"),  # good, and not among the algorithms
            another_kind,
            good[:-6],
            good.rpartition(".")[0] + ".",
            good + "." + good,
            "a.b.c",
        ):
            problem(await asked(api, token), 401, "unauthorized")
            assert (await asked(api, token, "/health/ready")).status_code == 200


async def test_keys_are_rotated_without_a_restart(
    start: Start, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
    async with start() as api:
        old = provider.token("erp")
        assert (await asked(api, old)).status_code == 200
        second = make_key("second")
        provider.restart([second, provider.keys[0]])
        new = provider.token("erp")
        assert jwt.get_unverified_header(new)["kid"] == "second"
        assert (await asked(api, new)).status_code == 200
        assert (await asked(api, old)).status_code == 200, "the old key is announced still"
        provider.restart([second])
        monkeypatch.setattr(provider_keys, "FRESH_SECONDS", -1.0)
        problem(await asked(api, old), 401, "unauthorized")
        assert (await asked(api, new)).status_code == 200


async def test_a_token_without_a_key_id(start: Start, provider: Provider) -> None:
    nameless = provider.forged({}, headers={"kid": None})
    async with start() as api:
        assert (await asked(api, nameless)).status_code == 200
    provider.restart([*provider.keys, make_key("second")])
    async with start() as api:
        problem(await asked(api, nameless), 401, "unauthorized")


async def test_an_outage_of_the_provider(
    start: Start, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as api:
        token = provider.token("erp")
        provider.stop()
        missing = await asked(api, token)
        assert "identity provider" in problem(missing, 503, "service-unavailable")["detail"]
        assert missing.headers["Retry-After"]
        provider.start()
        monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
        assert (await asked(api, token)).status_code == 200
        provider.stop()
        monkeypatch.setattr(provider_keys, "FRESH_SECONDS", -10.0)
        assert (await asked(api, token)).status_code == 200, "keys of before count for a while"
        newer = provider.forged({}, headers={"kid": "newer"})
        problem(await asked(api, newer), 503, "service-unavailable")
        components = (await asked(api, token, "/health/ready")).json()["components"]
        (shown,) = [part for part in components if part["name"] == "identity_provider"]
        assert (shown["status"], "keys of before" in shown["detail"]) == ("down", True)
        monkeypatch.setattr(provider_keys, "STALE_SECONDS", -1.0)
        problem(await asked(api, token), 503, "service-unavailable")


async def test_unknown_keys_cause_no_storm_of_requests(
    start: Start, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []
    fetch = provider_keys.ProviderKeys._document

    async def counted(self: Any, url: str) -> Any:
        fetched.append(url)
        return await fetch(self, url)

    monkeypatch.setattr(provider_keys.ProviderKeys, "_document", counted)
    async with start() as api:
        for number in range(20):
            token = provider.forged({}, headers={"kid": f"guess-{number}"})
            problem(await asked(api, token), 401, "unauthorized")
        assert len(fetched) == 2, "the discovery document and the keys, once"


async def test_instance_tokens_beside_the_provider(start: Start, provider: Provider, logs: list[Any]) -> None:
    key = "k" * 40
    own = issue_token(key, "kmarsh", Role.ADMIN, HERE, timedelta(minutes=5))
    async with start(secret_key=key) as api:
        problem(await asked(api, own), 401, "unauthorized")
        assert not [event for event in logs if event["event"] == "instance_tokens_allowed"]
    async with start(secret_key=key, allow_instance_tokens=True) as api:
        assert (await asked(api, own)).status_code == 200
        assert (await asked(api, provider.token("erp"))).status_code == 200
        posing = provider.forged({"iss": "certsync", "aud": "certsync", **ADMIN})
        problem(await asked(api, posing), 401, "unauthorized")
        (warned,) = [event for event in logs if event["event"] == "instance_tokens_allowed"]
        assert warned["log_level"] == "warning"
