"""A real OpenID Connect provider (`tests/npm`) with keys of the test's own, and tokens nobody issued."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from shutil import which
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.api import HERE
from tests.support.openssh import free_port
from tests.support.processes import ROOT

AUDIENCE = "https://certsync.example/api"
START_LIMIT = 30
Claims = Mapping[str, Any]
ADMIN: Claims = {"district": HERE, "role": "admin"}


def make_key(key_id: str) -> dict[str, Any]:
    """Return a private RSA key as a JWK."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    made = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key))
    made.pop("key_ops")
    return {**made, "kid": key_id, "use": "sig"}


@dataclass
class Provider:
    """A provider on a port of its own, which can be stopped and started again with other keys."""

    clients: dict[str, Claims]
    keys: list[dict[str, Any]] = field(default_factory=lambda: [make_key("first")])
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        node = ROOT / ".venv" / "bin" / "node"
        script = ROOT / "tests" / "npm" / "provider.mjs"
        self.process = subprocess.Popen(
            [
                str(node) if node.exists() else str(which("node")),
                str(script),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        asked = {"port": self.port, "audience": AUDIENCE, "keys": self.keys, "clients": self.clients}
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def restart(self, keys: list[dict[str, Any]]) -> None:
        self.stop()
        self.keys = keys
        self.start()

    def token(self, client: str) -> str:
        """Return an access token that the provider issues to a client."""
        answer = httpx.post(
            f"{self.issuer}/token", data={"grant_type": "client_credentials"}, auth=(client, "secret")
        )
        return str(answer.raise_for_status().json()["access_token"])

    def forged(self, change: Claims, algorithm: str = "RS256", headers: Claims | None = None) -> str:
        """Return a token like the provider's with other claims, signed by its key.

        None leaves a claim out; a span of time means that long from now.
        """
        now = datetime.now(UTC)
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "kmarsh",
            "iat": now,
            "exp": now + timedelta(minutes=5),
            **ADMIN,
            **change,
        }
        key = jwt.PyJWK(self.keys[0], algorithm="RS256").key
        given = {"kid": self.keys[0]["kid"], "typ": "at+jwt", **(headers or {})}
        return jwt.encode(
            {
                name: now + value if isinstance(value, timedelta) else value
                for name, value in claims.items()
                if value is not None
            },
            key,
            algorithm=algorithm,
            headers={name: value for name, value in given.items() if value is not None},
        )


CLIENTS: dict[str, Claims] = {
    "erp": ADMIN,
    "reader": {"district": HERE, "role": "viewer"},
    "prometheus": {"role": "ops"},
    "groups": {"realm": {"groups": ["staff", "certsync-hr", "certsync-viewers"]}, "tenant": "guid-1"},
}


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that runs."""
    started = Provider(dict(CLIENTS))
    started.start()
    yield started
    started.stop()


def bearer(token: str) -> dict[str, str]:
    """Return the header that sends a token."""
    return {"Authorization": f"Bearer {token}"}
