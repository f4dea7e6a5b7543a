"""What an operator can set about signing in."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_settings import NoDecode

from app.constants import Role
from app.settings.values import PREFIX, OidcAlgorithm


class SignInSettings(BaseModel):
    """The part of the settings that tells whose tokens are taken, and for what."""

    environment: Literal["development", "production"]
    oidc_issuer: str | None = Field(
        None,
        description="`https://…` of the identity provider whose tokens are taken; required in production.",
    )
    oidc_audience: str | None = Field(None, description="What its tokens name as `aud` for this service.")
    oidc_jwks_url: str | None = Field(
        None, description="Where its keys are; default: as its discovery document says."
    )
    oidc_algorithms: Annotated[tuple[OidcAlgorithm, ...], NoDecode] = Field(
        ("RS256", "PS256", "ES256", "EdDSA"),
        min_length=1,
        description="Signatures that are taken, with commas.",
    )
    oidc_leeway: float = Field(30, ge=0, le=300, description="Seconds that clocks may differ.")
    oidc_required_claims: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Claims of which a token has to have one of the values, as JSON: "
        '`{"acr": ["phishing-resistant"]}`.',
    )
    oidc_max_token_hours: float = Field(
        24, gt=0, description="Hours after its `iat` at which a token ends, whatever its `exp`."
    )
    oidc_user_claim: str = Field("sub", min_length=1, description="Claim with the user id.")
    oidc_role_claim: str = Field(
        "role", min_length=1, description="Claim with a role or several; dots lead into objects."
    )
    oidc_roles: dict[str, Role] = Field(
        default_factory=lambda: {role.value: role for role in Role},
        description='What its values stand for, as JSON: `{"certsync-admins": "admin"}`.',
    )
    oidc_district_claim: str = Field("district", min_length=1, description="Claim with the district.")
    oidc_districts: dict[str, str] = Field(
        default_factory=dict,
        description="What its values stand for, as JSON; default: they are the ids of districts.",
    )
    oidc_district: str | None = Field(
        None, description="The district of all its tokens, instead of a claim: for a deployment of one."
    )
    allow_instance_tokens: bool | None = Field(
        None,
        description="Take tokens that `certsync token` signs; default: only without an identity provider, "
        "and not in production.",
    )

    @model_validator(mode="after")
    def check_oidc(self) -> Self:
        """Refuse half an identity provider, and one that is reached without TLS in production."""
        others = (self.oidc_audience, self.oidc_jwks_url, self.oidc_district)
        if self.oidc_issuer is None:
            if any(others):
                raise ValueError(
                    f"{PREFIX}OIDC_ISSUER is missing; give it, or remove the other OIDC_… settings"
                )
            return self
        if self.oidc_audience is None:
            raise ValueError(
                f"{PREFIX}OIDC_AUDIENCE is missing: without it, tokens made for other services would be taken"
            )
        for url in filter(None, (self.oidc_issuer, self.oidc_jwks_url)):
            if not url.startswith(("https://", "http://")) or (
                self.environment == "production" and url.startswith("http://")
            ):
                raise ValueError(f"{PREFIX}OIDC_ISSUER and {PREFIX}OIDC_JWKS_URL have to begin with https://")
        return self

    @property
    def takes_instance_tokens(self) -> bool:
        """Whether tokens that this instance signs are taken."""
        if self.allow_instance_tokens is not None:
            return self.allow_instance_tokens
        return self.oidc_issuer is None and self.environment == "development"
