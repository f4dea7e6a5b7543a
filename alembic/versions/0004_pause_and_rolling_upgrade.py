"""Paused districts, indexes for what is next, and which releases may run on the schema.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WAITING = sa.text("status = 'waiting'")
UNREPORTED = sa.text("report_pdf IS NULL AND status IN ('succeeded', 'failed')")


def upgrade() -> None:
    with op.batch_alter_table("district", schema=None) as batch_op:
        batch_op.add_column(sa.Column("paused_since", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_run_waiting"),
            ["scheduled_start", "id"],
            unique=False,
            sqlite_where=WAITING,
            postgresql_where=WAITING,
        )
        batch_op.create_index(
            batch_op.f("ix_run_unreported"),
            ["ended_at"],
            unique=False,
            sqlite_where=UNREPORTED,
            postgresql_where=UNREPORTED,
        )
    oldest = op.create_table("schema_support", sa.Column("oldest_revision", sa.String(32), nullable=False))
    op.bulk_insert(oldest, [{"oldest_revision": revision}])


def downgrade() -> None:
    op.drop_table("schema_support")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index(
            batch_op.f("ix_run_unreported"), sqlite_where=UNREPORTED, postgresql_where=UNREPORTED
        )
        batch_op.drop_index(batch_op.f("ix_run_waiting"), sqlite_where=WAITING, postgresql_where=WAITING)
    with op.batch_alter_table("district", schema=None) as batch_op:
        batch_op.drop_column("paused_since")
