"""Two pins of a connection, its stop and back-off, changes that wait for a second person, and whole attempts.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without batch mode: both databases add a nullable column, and take it away again, without a copy.
    for column in (
        sa.Column("fingerprint_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("announced_fingerprint_encrypted", sa.Text(), nullable=True),
        sa.Column("announced_from", sa.Date(), nullable=True),
        sa.Column("announced_since", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("sftp_connection", column)
    for column in (
        sa.Column("action", sa.String(length=32), nullable=True),
        sa.Column("user_id", sa.String(length=200), nullable=True),
        sa.Column("process", sa.String(length=255), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("details_encrypted", sa.Text(), nullable=True),
    ):
        op.add_column("connection_event", column)
    op.create_table(
        "connection_state",
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("connection_version", sa.BigInteger(), nullable=False),
        sa.Column("host_key_in_use", sa.String(length=16), nullable=True),
        sa.Column("host_key_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_run_id", sa.Uuid(), nullable=True),
        sa.Column("offered_encrypted", sa.Text(), nullable=True),
        sa.Column("login_failures", sa.Integer(), nullable=False),
        sa.Column("backing_off_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["district_id"], ["district.id"], name=op.f("fk_connection_state_district_id")
        ),
        sa.PrimaryKeyConstraint("district_id", name=op.f("pk_connection_state")),
    )
    op.create_table(
        "connection_proposal",
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("connection_version", sa.BigInteger(), nullable=False),
        sa.Column("content_encrypted", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.String(length=200), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["district_id"], ["district.id"], name=op.f("fk_connection_proposal_district_id")
        ),
        sa.PrimaryKeyConstraint("district_id", name=op.f("pk_connection_proposal")),
    )


def downgrade() -> None:
    op.drop_table("connection_proposal")
    op.drop_table("connection_state")
    for column in (
        "details_encrypted",
        "bytes",
        "milliseconds",
        "request_id",
        "process",
        "user_id",
        "action",
    ):
        op.drop_column("connection_event", column)
    for column in (
        "announced_since",
        "announced_from",
        "announced_fingerprint_encrypted",
        "fingerprint_since",
    ):
        op.drop_column("sftp_connection", column)
