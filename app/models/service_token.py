"""Tokens of programs."""

from datetime import date, datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.models.base import district_field, utc_now

_VALID = sa.text("revoked_at IS NULL")
_VALID_OF_NOBODY = sa.text("revoked_at IS NULL AND district_id IS NULL")


class ServiceToken(SQLModel, table=True):
    """A token that an integrator's program signs in with; of the token itself a hash is stored.

    `district_id` is null for one that watches the whole deployment. A revoked token stays, for whoever
    asks later who could do what.
    """

    __tablename__ = "service_token"
    __table_args__ = (
        sa.Index(
            "uq_service_token_name",
            "district_id",
            "name",
            unique=True,
            sqlite_where=_VALID,
            postgresql_where=_VALID,
        ),
        sa.Index(  # nulls differ from each other, so the one above says nothing of tokens without a district
            "uq_service_token_deployment_name",
            "name",
            unique=True,
            sqlite_where=_VALID_OF_NOBODY,
            postgresql_where=_VALID_OF_NOBODY,
        ),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    district_id: str | None = Field(default=None, max_length=64, foreign_key="district.id")
    name: str = Field(max_length=100)
    scopes: list[str] = Field(sa_type=sa.JSON)
    secret_hash: str = Field(max_length=64)
    created_by: str = Field(max_length=200)
    created_at: datetime = Field(default_factory=utc_now)
    expires_at: datetime
    revoked_by: str | None = Field(default=None, max_length=200)
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class ServiceTokenRead(SQLModel, table=True):
    """What a token read of personal data on one day (UTC): requests of a kind, and records in the answers."""

    __tablename__ = "service_token_read"

    district_id: str = district_field(primary_key=True)
    token_id: UUID = Field(primary_key=True)
    day: date = Field(primary_key=True)
    kind: str = Field(max_length=32, primary_key=True)
    requests: int = Field(sa_type=sa.BigInteger)
    records: int = Field(sa_type=sa.BigInteger)
