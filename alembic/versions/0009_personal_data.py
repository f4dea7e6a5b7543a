"""When a run's lists expired or lost a person's lines, and stored files that are to go.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

WITH_LISTS = sa.text("lists_expired_at IS NULL")


def upgrade() -> None:
    # Without batch mode: both databases add a nullable column, and take it away again, without a copy.
    for name in ("lists_expired_at", "lists_redacted_at"):
        op.add_column("run", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_run_with_lists",
        "run",
        ["district_id", "ended_at"],
        sqlite_where=WITH_LISTS,
        postgresql_where=WITH_LISTS,
    )
    op.create_table(
        "file_removal",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_file_removal_district_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_file_removal")),
    )
    op.create_index(op.f("ix_file_removal_district_id_due_at"), "file_removal", ["district_id", "due_at"])


def downgrade() -> None:
    op.drop_table("file_removal")
    op.drop_index("ix_run_with_lists", "run")
    for name in ("lists_redacted_at", "lists_expired_at"):
        op.drop_column("run", name)
