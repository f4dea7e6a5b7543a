"""Whose request a run comes from, and the indexes that metrics are read by.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without batch mode: both databases add a nullable column, and take it away again, without a copy.
    op.add_column("run", sa.Column("request_id", sa.String(length=64), nullable=True))
    op.add_column("run", sa.Column("traceparent", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_run_ended_at"), "run", ["ended_at"])
    failed = sa.text("NOT succeeded")
    op.create_index(
        "ix_connection_event_failed",
        "connection_event",
        ["at"],
        sqlite_where=failed,
        postgresql_where=failed,
    )


def downgrade() -> None:
    op.drop_index("ix_connection_event_failed", table_name="connection_event")
    op.drop_index(op.f("ix_run_ended_at"), table_name="run")
    op.drop_column("run", "traceparent")
    op.drop_column("run", "request_id")
