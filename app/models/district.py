"""The tenant."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.models.base import utc_now


class District(SQLModel, table=True):
    """A school district; every row of every other table belongs to one (I15).

    `roster_version` and `edit_version` are counters that every write to employees, or to certifications
    and endorsements, moves last: a replace compares them with what it was computed from.
    """

    __tablename__ = "district"

    id: str = Field(primary_key=True, max_length=64)
    name: str = Field(max_length=200)
    state: str = Field(default="VT", max_length=2)
    timezone: str = Field(max_length=64)
    layout: str | None = Field(default=None, sa_type=sa.Text, description="A layout of its own, as TOML.")
    roster_version: int = Field(default=0, sa_type=sa.BigInteger)
    edit_version: int = Field(default=0, sa_type=sa.BigInteger)
    paused_since: datetime | None = Field(default=None, description="Since when its schedule rests.")
    created_at: datetime = Field(default_factory=utc_now)
