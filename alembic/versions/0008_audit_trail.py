"""The audit trail, which the database keeps append-only, and reads of service tokens.

A table with triggers must not be altered in batch mode: SQLite would rebuild it without them.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

OF_A_RUN = sa.text("run_id IS NOT NULL")
TABLES = ("audit_redaction", "audit_anchor", "audit_seal", "audit_payload", "audit_event")

PASSED = (
    "EXISTS (SELECT 1 FROM audit_seal s JOIN audit_anchor a ON a.district_id = s.district_id "
    "WHERE s.district_id = OLD.district_id AND s.event_id = OLD.{id} AND s.sequence <= a.sequence)"
)
"""Retention has passed the event: the anchor, which goes first, stands on its link or a later one."""
REDACTED = "EXISTS (SELECT 1 FROM audit_redaction r WHERE r.event_id = OLD.event_id)"
MAY_GO = {
    "audit_event": PASSED.format(id="id"),
    "audit_payload": f"{PASSED.format(id='event_id')} OR {REDACTED}",
    "audit_redaction": PASSED.format(id="event_id"),
    "audit_seal": "EXISTS (SELECT 1 FROM audit_anchor a WHERE a.district_id = OLD.district_id "
    "AND a.sequence >= OLD.sequence) AND NOT EXISTS (SELECT 1 FROM audit_event e WHERE e.id = OLD.event_id)",
}
"""By table, the rows that may be deleted. Those that are not named here may not."""
ON_A_LINK = (
    "EXISTS (SELECT 1 FROM audit_seal s WHERE s.district_id = NEW.district_id "
    "AND s.sequence = NEW.sequence AND s.hash = NEW.hash)"
)
MAY_COME = {
    "audit_anchor": ON_A_LINK,
    "audit_seal": "NOT EXISTS (SELECT 1 FROM audit_anchor a WHERE a.district_id = NEW.district_id "
    "AND a.sequence >= NEW.sequence)",
    "audit_redaction": "EXISTS (SELECT 1 FROM audit_seal s WHERE s.district_id = NEW.district_id "
    "AND s.event_id = NEW.event_id) AND EXISTS (SELECT 1 FROM audit_event e WHERE e.id = NEW.redaction_id "
    "AND e.district_id = NEW.district_id AND e.action = 'redacted') AND NOT EXISTS (SELECT 1 "
    "FROM audit_seal s WHERE s.district_id = NEW.district_id AND s.event_id = NEW.redaction_id)",
}
"""By table, the rows that may be added, where not all may.

A link stands after the anchor. A redaction is told by a new event of that kind, which will stand later in the
chain than what it tells of, so that retention comes to it later.
"""
MAY_CHANGE = {
    "audit_anchor": f"NEW.district_id = OLD.district_id AND NEW.sequence > OLD.sequence AND {ON_A_LINK}"
}
"""By table, how rows may be changed: the anchor goes forward to a link that is there."""
REFUSAL = "the audit trail is append-only"


def upgrade() -> None:
    create_tables()
    op.add_column("service_token", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "service_token_read",
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["district_id"], ["district.id"], name=op.f("fk_service_token_read_district_id")
        ),
        sa.PrimaryKeyConstraint("district_id", "token_id", "day", "kind", name=op.f("pk_service_token_read")),
    )
    if op.get_bind().dialect.name == "postgresql":
        guard_postgresql()
    else:
        guard_sqlite()


def create_tables() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("interface", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("record_type", sa.String(length=32), nullable=False),
        sa.Column("payload_digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_audit_event_district_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index(op.f("ix_audit_event_district_id_at_id"), "audit_event", ["district_id", "at", "id"])
    op.create_index("ix_audit_event_actor", "audit_event", ["district_id", "actor", "at"])
    op.create_index(
        "ix_audit_event_run",
        "audit_event",
        ["district_id", "run_id"],
        sqlite_where=OF_A_RUN,
        postgresql_where=OF_A_RUN,
    )
    op.create_table(
        "audit_payload",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("record_id", sa.String(length=200), nullable=True),
        sa.Column("employee_number", sa.String(length=64), nullable=True),
        sa.Column("salt", sa.String(length=32), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_audit_payload_district_id")),
        sa.ForeignKeyConstraint(["event_id"], ["audit_event.id"], name=op.f("fk_audit_payload_event_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_audit_payload")),
    )
    op.create_index("ix_audit_payload_employee", "audit_payload", ["employee_number", "district_id"])
    op.create_index("ix_audit_payload_record", "audit_payload", ["record_id", "district_id"])
    op.create_table(
        "audit_seal",
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_audit_seal_district_id")),
        sa.PrimaryKeyConstraint("district_id", "sequence", name=op.f("pk_audit_seal")),
        sa.UniqueConstraint("district_id", "event_id", name=op.f("uq_audit_seal_district_id_event_id")),
    )
    op.create_table(
        "audit_anchor",
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["district_id"], ["district.id"], name=op.f("fk_audit_anchor_district_id")),
        sa.PrimaryKeyConstraint("district_id", name=op.f("pk_audit_anchor")),
    )
    op.create_table(
        "audit_redaction",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("district_id", sa.String(length=64), nullable=False),
        sa.Column("redaction_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["district_id"], ["district.id"], name=op.f("fk_audit_redaction_district_id")
        ),
        sa.ForeignKeyConstraint(
            ["redaction_id"], ["audit_event.id"], name=op.f("fk_audit_redaction_redaction_id")
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_audit_redaction")),
    )
    op.create_index(op.f("ix_audit_redaction_redaction_id"), "audit_redaction", ["redaction_id"])


def guard_postgresql() -> None:
    # With a search path of their own the functions ask these tables, whatever the session has of the name.
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    begin = f"RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$ BEGIN "
    refuse = (
        f"RAISE EXCEPTION '{REFUSAL}: % of %', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; "
        "END $$"
    )
    op.execute(f"CREATE FUNCTION certsync_audit_refuse() {begin} {refuse}")
    for table in TABLES:
        checks = [
            ("UPDATE", "change", "NEW", MAY_CHANGE.get(table, "false")),
            ("DELETE", "delete", "OLD", MAY_GO.get(table, "false")),
        ]
        if table in MAY_COME:
            checks.append(("INSERT", "insert", "NEW", MAY_COME[table]))
        for event, name, row, condition in checks:
            function = f"certsync_{table}_{name}"
            op.execute(
                f"CREATE FUNCTION {function}() {begin} IF {condition} THEN RETURN {row}; END IF; {refuse}"
            )
            op.execute(
                f"CREATE TRIGGER {table}_{name} BEFORE {event} ON {table} FOR EACH ROW "
                f"EXECUTE FUNCTION {function}()"
            )
        op.execute(
            f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT "
            "EXECUTE FUNCTION certsync_audit_refuse()"
        )


def guard_sqlite() -> None:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    keys = {"audit_event": "id = NEW.id", "audit_payload": "event_id = NEW.event_id"}
    keys["audit_redaction"] = keys["audit_payload"]
    keys["audit_seal"] = (
        "district_id = NEW.district_id AND (sequence = NEW.sequence OR event_id = NEW.event_id)"
    )
    keys["audit_anchor"] = "district_id = NEW.district_id"
    for table in TABLES:
        may_change, may_go = MAY_CHANGE.get(table, "0"), MAY_GO.get(table, "0")
        op.execute(f"CREATE TRIGGER {table}_change BEFORE UPDATE ON {table} WHEN NOT ({may_change}) {refuse}")
        op.execute(f"CREATE TRIGGER {table}_delete BEFORE DELETE ON {table} WHEN NOT ({may_go}) {refuse}")
        # INSERT OR REPLACE would delete without calling the trigger for it.
        op.execute(
            f"CREATE TRIGGER {table}_replace BEFORE INSERT ON {table} "  # noqa: S608 - no input in it
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {keys[table]}) {refuse}"
        )
    for table, may_come in MAY_COME.items():
        op.execute(f"CREATE TRIGGER {table}_insert BEFORE INSERT ON {table} WHEN NOT ({may_come}) {refuse}")


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"DROP FUNCTION certsync_{table}_change()")
            op.execute(f"DROP FUNCTION certsync_{table}_delete()")
        for table in MAY_COME:
            op.execute(f"DROP FUNCTION certsync_{table}_insert()")
        op.execute("DROP FUNCTION certsync_audit_refuse()")
    op.drop_table("service_token_read")
    op.drop_column("service_token", "last_used_at")
