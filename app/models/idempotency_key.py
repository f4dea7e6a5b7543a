"""Keys of POST requests that must take effect once."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.models.base import district_field, utc_now


class IdempotencyKey(SQLModel, table=True):
    """A POST that took effect, and what was answered; written in the transaction of the effect.

    `request_hash` is of method, path and body: a key is for one request.
    """

    __tablename__ = "idempotency_key"
    __table_args__ = (sa.Index(None, "created_at"),)

    district_id: str = district_field(primary_key=True)
    caller: str = Field(primary_key=True, max_length=200)
    key: str = Field(primary_key=True, max_length=255)
    request_hash: str = Field(max_length=64)
    status: int
    headers: dict[str, str] = Field(sa_type=sa.JSON)
    body: dict[str, Any] = Field(sa_type=sa.JSON)
    created_at: datetime = Field(default_factory=utc_now)
