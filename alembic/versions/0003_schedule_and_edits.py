"""Schedules that run, manual edits, idempotency keys, lists of changes.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FINDINGS = (
    "skipped",
    "other_name",
    "rejected",
    "disagreement",
    "overwritten",
    "missing_certification",
    "expired",
    "blank_dates",
)


def set_finding_kinds(kinds: tuple[str, ...]) -> None:
    """Replace the CHECK on a finding's kind."""
    with op.batch_alter_table("run_finding", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_run_finding_findingkind"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_run_finding_findingkind"), sa.column("kind").in_(kinds)
        )


def upgrade() -> None:
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.add_column(sa.Column("scheduled_by", sa.String(length=200), nullable=True))
    op.execute("UPDATE task SET scheduled_by = updated_by")
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.alter_column("scheduled_by", existing_type=sa.String(length=200), nullable=False)

    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.add_column(sa.Column("replacing_since", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("report_tried_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.drop_index(batch_op.f("ix_run_district_id_created_at_id"))
        batch_op.create_index(
            batch_op.f("ix_run_district_id_scheduled_start_id"),
            ["district_id", "scheduled_start", "id"],
            unique=False,
        )
    set_finding_kinds((*FINDINGS, "change", "warning"))

    op.create_table(
        "record_edit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("edited_by", sa.String(length=200), nullable=False),
        sa.Column(
            "action",
            sa.Enum(
                "added",
                "changed",
                "deleted",
                name="editaction",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "record",
            sa.Enum(
                "certification",
                "endorsement",
                name="recordkind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("employee_number", sa.String(length=64), nullable=False),
        sa.Column("license_number", sa.Text(), nullable=False),
        sa.Column("license_type", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_record_edit_district_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record_edit")),
    )
    with op.batch_alter_table("record_edit", schema=None) as batch_op:
        batch_op.create_index(
            "ix_record_edit_pending",
            ["district_id"],
            unique=False,
            sqlite_where=sa.text("run_id IS NULL"),
            postgresql_where=sa.text("run_id IS NULL"),
        )

    op.create_table(
        "idempotency_key",
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("caller", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["district_id"], ["district.id"], name=op.f("fk_idempotency_key_district_id")
        ),
        sa.PrimaryKeyConstraint("district_id", "caller", "key", name=op.f("pk_idempotency_key")),
    )
    with op.batch_alter_table("idempotency_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_key_created_at"), ["created_at"], unique=False)


def downgrade() -> None:
    op.drop_table("idempotency_key")
    op.drop_table("record_edit")
    op.execute("DELETE FROM run_finding WHERE kind = 'change'")
    set_finding_kinds((*FINDINGS, "warning"))
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_district_id_scheduled_start_id"))
        batch_op.create_index(
            batch_op.f("ix_run_district_id_created_at_id"), ["district_id", "created_at", "id"], unique=False
        )
        batch_op.drop_column("report_tried_at")
        batch_op.drop_column("replacing_since")
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.drop_column("scheduled_by")
