"""Districts, their rosters, and the records that imports keep.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def create_version_counter() -> None:
    """Make the counter behind every `version`; SQLite has no sequences, so there it is a one-row table."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE resource_version")
        return
    op.create_table("resource_version", sa.Column("value", sa.BigInteger(), nullable=False))
    op.execute("INSERT INTO resource_version (value) VALUES (0)")


def upgrade() -> None:
    create_version_counter()
    op.create_table(
        "district",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=2), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("layout", sa.Text(), nullable=True),
        sa.Column("roster_version", sa.BigInteger(), nullable=False),
        sa.Column("edit_version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_district")),
    )
    op.create_table(
        "job_class",
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("certification_required", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_job_class_district_id")),
        sa.PrimaryKeyConstraint("district_id", "code", name=op.f("pk_job_class")),
    )
    op.create_table(
        "employee",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("employee_number", sa.String(length=64), nullable=False),
        sa.Column("state_staff_id", sa.String(length=64), nullable=True),
        sa.Column("last_name", sa.String(length=200), nullable=False),
        sa.Column("first_name", sa.String(length=200), nullable=False),
        sa.Column("middle_name", sa.String(length=200), nullable=True),
        sa.Column("legal_last_name", sa.String(length=200), nullable=True),
        sa.Column("legal_first_name", sa.String(length=200), nullable=True),
        sa.Column("former_last_name", sa.String(length=200), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "active",
                "terminated",
                name="employeestatus",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("job_class", sa.String(length=64), nullable=True),
        sa.Column("educator_key", sa.String(length=200), nullable=True),
        sa.Column("name_key", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["district_id", "job_class"],
            ["job_class.district_id", "job_class.code"],
            name=op.f("fk_employee_district_id_job_class"),
        ),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_employee_district_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_employee")),
        sa.UniqueConstraint(
            "district_id", "employee_number", name=op.f("uq_employee_district_id_employee_number")
        ),
    )
    with op.batch_alter_table("employee", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_employee_district_id_educator_key"), ["district_id", "educator_key"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_employee_district_id_job_class"), ["district_id", "job_class"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_employee_district_id_name_key"), ["district_id", "name_key"], unique=False
        )

    op.create_table(
        "certification",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("employee_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("license_number", sa.Text(), nullable=False),
        sa.Column("license_type", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("issue_date", sa.Date(), nullable=True),
        sa.Column("expiration_date", sa.Date(), nullable=True),
        sa.Column(
            "source",
            sa.Enum(
                "import", "manual", name="recordsource", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("updated_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_certification_district_id")),
        sa.ForeignKeyConstraint(["employee_id"], ["employee.id"], name=op.f("fk_certification_employee_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certification")),
        sa.UniqueConstraint("district_id", "public_id", name=op.f("uq_certification_district_id_public_id")),
    )
    with op.batch_alter_table("certification", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_certification_employee_id"), ["employee_id"], unique=False)

    op.create_table(
        "endorsement",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("public_id", sa.Uuid(), nullable=False),
        sa.Column("certification_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("employee_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("issue_date", sa.Date(), nullable=True),
        sa.Column("expiration_date", sa.Date(), nullable=True),
        sa.Column("limitation", sa.Text(), nullable=True),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column(
            "source",
            sa.Enum(
                "import", "manual", name="recordsource", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("updated_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["certification_id"],
            ["certification.id"],
            name=op.f("fk_endorsement_certification_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_endorsement_district_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endorsement")),
        sa.UniqueConstraint("district_id", "public_id", name=op.f("uq_endorsement_district_id_public_id")),
    )
    with op.batch_alter_table("endorsement", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_endorsement_certification_id"), ["certification_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_endorsement_employee_id"), ["employee_id"], unique=False)
        batch_op.create_index(
            "uq_endorsement_primary",
            ["district_id", "employee_id"],
            unique=True,
            sqlite_where=sa.text("is_primary"),
            postgresql_where=sa.text("is_primary"),
        )


def downgrade() -> None:
    for table in ("endorsement", "certification", "employee", "job_class", "district"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP SEQUENCE resource_version")
    else:
        op.drop_table("resource_version")
