"""Service tokens.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

VALID = sa.text("revoked_at IS NULL")
VALID_OF_NOBODY = sa.text("revoked_at IS NULL AND district_id IS NULL")


def upgrade() -> None:
    op.create_table(
        "service_token",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("district_id", sa.String(length=64), nullable=True),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_by", sa.String(length=200), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_service_token_district_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_token")),
    )
    op.create_index(
        "uq_service_token_name",
        "service_token",
        ["district_id", "name"],
        unique=True,
        sqlite_where=VALID,
        postgresql_where=VALID,
    )
    # Nulls differ from each other, so the index above says nothing of tokens without a district.
    op.create_index(
        "uq_service_token_deployment_name",
        "service_token",
        ["name"],
        unique=True,
        sqlite_where=VALID_OF_NOBODY,
        postgresql_where=VALID_OF_NOBODY,
    )


def downgrade() -> None:
    op.drop_index("uq_service_token_deployment_name", table_name="service_token")
    op.drop_index("uq_service_token_name", table_name="service_token")
    op.drop_table("service_token")
