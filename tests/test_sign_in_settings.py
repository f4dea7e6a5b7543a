"""What an operator can set about signing in, and what a start refuses."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.cli.common import load_settings
from app.constants import Role
from app.database import Database
from app.errors import ConfigurationError
from app.services.authentication import Authentication
from app.settings import Settings

ISSUER = {"OIDC_ISSUER": "https://login.example", "OIDC_AUDIENCE": "https://certsync.example"}
KEY = SecretStr("dGhpcyBpcyBhIHRlc3QncyBvd24ga2V5LCBub3RoaW5n")


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"CERTSYNC_{name}", value)
    return load_settings()


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"OIDC_AUDIENCE": "x"}, "OIDC_ISSUER is missing"),
        ({"OIDC_DISTRICT": "hill"}, "OIDC_ISSUER is missing"),
        ({"OIDC_ISSUER": "https://login.example"}, "OIDC_AUDIENCE is missing"),
        ({**ISSUER, "OIDC_ISSUER": "login.example"}, "https://"),
        ({**ISSUER, "OIDC_ISSUER": "file:///etc/passwd"}, "https://"),
        ({**ISSUER, "OIDC_JWKS_URL": "ftp://login.example/keys"}, "https://"),
        ({**ISSUER, "OIDC_ISSUER": "http://login.example", "ENVIRONMENT": "production"}, "https://"),
        ({**ISSUER, "OIDC_ALGORITHMS": "RS256,HS256"}, "OIDC_ALGORITHMS"),
        ({**ISSUER, "OIDC_ALGORITHMS": "none"}, "OIDC_ALGORITHMS"),
        ({**ISSUER, "OIDC_ALGORITHMS": ","}, "OIDC_ALGORITHMS"),
        ({**ISSUER, "OIDC_LEEWAY": "3600"}, "OIDC_LEEWAY"),
        ({**ISSUER, "OIDC_ROLES": '{"staff": "superuser"}'}, "OIDC_ROLES"),
        ({**ISSUER, "OIDC_ROLES": "staff"}, "oidc_roles"),
    ],
)
def test_what_is_refused(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read(monkeypatch, **variables)


def test_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch,
        **ISSUER,
        OIDC_ALGORITHMS="ES256, EdDSA",
        OIDC_ROLES='{"licence-admin": "admin"}',
        OIDC_DISTRICTS='{"0e7": "hill"}',
        OIDC_DISTRICT="",
        OIDC_REQUIRED_CLAIMS='{"acr": ["aal2"]}',
    )
    assert settings.oidc_algorithms == ("ES256", "EdDSA")
    assert settings.oidc_roles == {"licence-admin": Role.ADMIN}
    assert settings.oidc_districts == {"0e7": "hill"}
    assert settings.oidc_required_claims == {"acr": ["aal2"]}
    assert settings.oidc_district is None, "an empty variable is none"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({}, True),
        ({"allow_instance_tokens": False, "oidc_issuer": "http://127.0.0.1", "oidc_audience": "x"}, False),
        ({"oidc_issuer": "http://127.0.0.1", "oidc_audience": "x"}, False),
        ({"oidc_issuer": "http://127.0.0.1", "oidc_audience": "x", "allow_instance_tokens": True}, True),
        ({"environment": "production", "allow_instance_tokens": True}, True),
    ],
)
async def test_when_tokens_of_the_instance_are_taken(
    tmp_path: Path, given: dict[str, Any], taken: bool
) -> None:
    settings = Settings(data_dir=tmp_path, secret_key=KEY, **given)
    assert settings.takes_instance_tokens is taken
    database = Database(settings)
    authentication = Authentication(settings, database, database)
    if taken:
        assert authentication.signing_key == KEY.get_secret_value()
    else:
        with pytest.raises(ConfigurationError, match="ALLOW_INSTANCE_TOKENS=true"):
            _ = authentication.signing_key
    await authentication.close()
    await database.close()


def test_tables_may_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "roles").write_text('{"licence-admin": "admin"}\n')
    (tmp_path / "empty").write_text("\n")
    settings = read(
        monkeypatch,
        **ISSUER,
        OIDC_ROLES_FILE=str(tmp_path / "roles"),
        OIDC_DISTRICT_FILE=str(tmp_path / "empty"),
    )
    assert settings.oidc_roles == {"licence-admin": Role.ADMIN}
    assert settings.oidc_district is None


@pytest.mark.parametrize("blank", ["", " ", ","])
def test_a_blank_list_of_denied_networks_denies_as_usual(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    settings = read(monkeypatch, ENVIRONMENT="production", SFTP_DENIED_NETWORKS=blank)
    assert settings.denied_networks == ["internal"]


async def test_production_wants_a_provider_or_a_decision(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, environment="production", secret_key=KEY)
    database = Database(settings)
    with pytest.raises(ConfigurationError, match=r"OIDC_ISSUER.*ALLOW_INSTANCE_TOKENS=true"):
        Authentication(settings, database, database)
    await database.close()
