"""What all tables share: constraint names, column types, and the district they belong to."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

# Set before the first table is declared, so that every constraint has one name on both databases.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""Keys that tables are joined by; SQLite numbers only an INTEGER primary key by itself."""


def enum_type(enum: type[StrEnum]) -> sa.Enum:
    """Return a column type that stores the values of `enum` as text under a CHECK.

    A native PostgreSQL enum would survive a downgrade and block the next upgrade.
    """
    return sa.Enum(
        enum,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
        name=enum.__name__.lower(),
    )


def utc_now() -> datetime:
    """Return the present instant, aware and in UTC: the only kind that is stored."""
    return datetime.now(UTC)


def district_field(*, primary_key: bool = False) -> Any:
    """Return the field of a `district_id` column; every table has one (I15)."""
    return Field(max_length=64, foreign_key="district.id", primary_key=primary_key)
