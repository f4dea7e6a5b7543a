"""PostgreSQL's row-level security: the wall between districts that stands behind each query's own filter.

It holds for a role that does not own the tables. So it takes two: one that migrates and owns them, and the
service's, which `certsync migrate` gives its rights and its policies here, in the transaction that changes
the schema: no table is ever there without them. Owners are not subject to them, so a deployment in which one
role does both is as it was.

The policies are written so that they cost nothing: of `district_id = $1` in a query and
`district_id = (SELECT …)` in its table's policy PostgreSQL makes one comparison before it reads any row.
"""

from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

import app.models  # noqa: F401 - declares the tables
from app.errors import ConfigurationError
from app.reach import CHORES, DISTRICT_SETTING

SCHEMA_TABLES = ("alembic_version", "schema_support")
"""What every process reads to know the schema; nothing in them is of a district."""
ANALYZE = "certsync_analyze"
"""The function by which the service has statistics collected, which is for owners (until PostgreSQL 17)."""
ANALYZED = ("employee", "certification", "endorsement")
"""The tables that an import joins (`app/storage/statistics.py`)."""
POLICIES = 2
"""Of a table: that of the service's role, and that of the one which reaches every district."""
LONGEST_NAME = 63
"""Bytes of a role's name in PostgreSQL (NAMEDATALEN)."""
INSUFFICIENT_PRIVILEGE = "42501"
"""PostgreSQL's code of the error (appendix A of its manual)."""
SUCH_A_ROLE = "CREATE ROLE certsync_app LOGIN NOINHERIT PASSWORD '…';"

log = structlog.get_logger()


def district_column(table: sa.Table) -> sa.Column[str]:
    """Return the column that says whose a row is; raises KeyError for a table that has none."""
    return table.c["id" if table.name == "district" else "district_id"]


def check_role(connection: sa.Connection, role: str) -> None:
    """Raise ConfigurationError, saying what to do, when no wall can be put before `role`.

    `connection` is that of the role that migrates.
    """
    its = f"The role {role} of CERTSYNC_DATABASE_URL"
    if len((role + CHORES).encode()) > LONGEST_NAME:
        raise ConfigurationError(f"{its} has too long a name.")
    query = sa.text("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = :role")
    found = connection.execute(query, {"role": role}).one_or_none()
    if found is None:
        raise ConfigurationError(
            f"{its} is not known to the server of CERTSYNC_MIGRATION_DATABASE_URL. Give one database to both."
        )
    me = connection.execute(sa.text("SELECT current_user")).scalar_one()
    if me == role:
        raise ConfigurationError(
            f"CERTSYNC_DATABASE_URL and CERTSYNC_MIGRATION_DATABASE_URL name one role, {role}. Give the "
            "service one of its own, or leave the second out to have one role for everything."
        )
    if found.rolsuper or found.rolbypassrls:
        raise ConfigurationError(
            f"{its} {_power(found)}, so nothing would keep districts apart. Give one without: {SUCH_A_ROLE}"
        )
    query = sa.text(
        "SELECT rolname, pg_has_role(rolname, 'USAGE') AS mine, pg_has_role(:role, rolname, 'MEMBER') AS its "
        "FROM pg_roles WHERE rolname = current_user OR oid IN (SELECT relowner FROM pg_class "
        "WHERE relname = ANY(:tables) AND relnamespace = current_schema()::regnamespace)"
    )
    for owner in connection.execute(query, {"role": role, "tables": list(SQLModel.metadata.tables)}):
        if owner.rolname == role:
            raise ConfigurationError(
                f"{its} owns tables. Let an administrator of the database type, once, and then certsync "
                f"migrate again: REASSIGN OWNED BY {_quoted(role)} TO {_quoted(me)};"
            )
        if owner.its:
            raise ConfigurationError(
                f"{its} may act as {owner.rolname}, who owns the tables: nothing would keep districts apart. "
                f"Type: REVOKE {_quoted(owner.rolname)} FROM {_quoted(role)};"
            )
        if not owner.mine:
            raise ConfigurationError(
                f"The tables belong to {owner.rolname}, which CERTSYNC_MIGRATION_DATABASE_URL has to name."
            )


def build(connection: sa.Connection, role: str) -> None:
    """Give `role` its rights and put the wall before it; what is as it should be is left alone.

    Called in the transaction of the migration, by the role that migrates. Raises ConfigurationError with what
    an administrator of the database has to type.
    """
    chores = role + CHORES
    both = f"{_quoted(role)}, {_quoted(chores)}"
    _ensure(connection, role, chores)
    there = set(sa.inspect(connection).get_table_names())
    for table in SQLModel.metadata.sorted_tables:
        if table.name in there:  # an older schema, to which tests migrate, lacks some
            _put_wall(connection, table, role, chores)
            _execute(connection, f"GRANT SELECT, INSERT, UPDATE, DELETE ON {_quoted(table.name)} TO {both}")
    for name in there.intersection(SCHEMA_TABLES):
        _execute(connection, f"GRANT SELECT ON {_quoted(name)} TO {both}")
    for name in sa.inspect(connection).get_sequence_names():
        _execute(connection, f"GRANT USAGE ON SEQUENCE {_quoted(name)} TO {both}")
    _let_analyze(connection, both)
    log.info("row_security_built", role=role)


def _ensure(connection: sa.Connection, role: str, chores: str) -> None:
    """Have the role that reaches every district, and what else not every owner of tables may give.

    Raises ConfigurationError with the statements when the role that migrates may not.
    """
    missing = _missing(connection, role, chores)
    try:
        with connection.begin_nested():
            for statement in missing:
                _execute(connection, statement)
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
            raise
    else:
        missing = missing and _missing(connection, role, chores)  # some GRANTs only warn
    if missing:
        raise ConfigurationError(
            "The role of CERTSYNC_MIGRATION_DATABASE_URL may not do all that is needed. Let an administrator "
            f"of the database type, once, and then certsync migrate again: {'; '.join(missing)};"
        )


def _missing(connection: sa.Connection, role: str, chores: str) -> list[str]:
    """Return the statements for what `role` lacks to become `chores`, and for both to reach the tables.

    The membership gives no rights by itself from PostgreSQL 16 on, where that can be said.
    """
    options, kind = "", "MEMBER"
    if (connection.dialect.server_version_info or (0,)) >= (16,):
        options, kind = " WITH INHERIT FALSE, SET TRUE", "SET"
    query = sa.text(
        "SELECT chores.oid IS NOT NULL AS exists, "
        "coalesce(pg_has_role(:role, chores.oid, :kind), false) AS member, "
        "has_schema_privilege(:role, current_schema(), 'USAGE') AS role_usage, "
        "has_schema_privilege(coalesce(rolname, 'public'), current_schema(), 'USAGE') AS chores_usage, "
        "has_database_privilege(:role, current_database(), 'TEMPORARY') AS temporary, "
        "current_schema() AS schema, current_database() AS database "
        "FROM (VALUES (:chores)) AS wanted (name) LEFT JOIN pg_roles AS chores ON rolname = wanted.name"
    )
    found = connection.execute(query, {"role": role, "chores": chores, "kind": kind}).one()
    steps = (
        (found.exists, f"CREATE ROLE {_quoted(chores)} NOLOGIN"),
        (found.member, f"GRANT {_quoted(chores)} TO {_quoted(role)}{options}"),
        (found.role_usage, f"GRANT USAGE ON SCHEMA {_quoted(found.schema)} TO {_quoted(role)}"),
        (found.chores_usage, f"GRANT USAGE ON SCHEMA {_quoted(found.schema)} TO {_quoted(chores)}"),
        (found.temporary, f"GRANT TEMPORARY ON DATABASE {_quoted(found.database)} TO {_quoted(role)}"),
    )
    return [statement for is_done, statement in steps if not is_done]


def _put_wall(connection: sa.Connection, table: sa.Table, role: str, chores: str) -> None:
    """Let `role` reach the rows of the district that its transaction names, and `chores` all of them.

    Any other role but the owner's reaches none. `chores` is asked for by name, so that a `role` that inherits
    its rights, as it may on PostgreSQL 15, does not reach every district by that.
    """
    mine = f"{_quoted(district_column(table).name)} = (SELECT current_setting('{DISTRICT_SETTING}', true))"
    policies = {role: mine, chores: f"current_user = session_user || '{CHORES}'"}
    name = _quoted(table.name)
    query = sa.text("SELECT polname FROM pg_policy WHERE polrelid = to_regclass(:name)")
    there = set(connection.execute(query, {"name": name}).scalars())
    for who, condition in policies.items():
        if who not in there:
            _execute(
                connection,
                f"CREATE POLICY {_quoted(who)} ON {name} TO {_quoted(who)} "
                f"USING ({condition}) WITH CHECK ({condition})",
            )
    query = sa.text("SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(:name)")
    if not connection.execute(query, {"name": name}).scalar_one():
        _execute(connection, f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")


def _let_analyze(connection: sa.Connection, both: str) -> None:
    """Let the service have statistics collected by the owner, of the tables that an import joins.

    Autovacuum would be a minute late.
    """
    schema = connection.execute(sa.text("SELECT quote_literal(current_schema())")).scalar_one()
    names = ", ".join(f"'{name}'" for name in ANALYZED)
    _execute(
        connection,
        f"CREATE OR REPLACE FUNCTION {ANALYZE}(wanted text) RETURNS void "
        "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$ "
        f"BEGIN IF wanted NOT IN ({names}) THEN RAISE 'not for this table'; END IF; "
        f"EXECUTE format('ANALYZE %I.%I', {schema}, wanted); END $body$",
    )
    _execute(connection, f"REVOKE ALL ON FUNCTION {ANALYZE}(text) FROM PUBLIC")
    _execute(connection, f"GRANT EXECUTE ON FUNCTION {ANALYZE}(text) TO {both}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _execute(connection: sa.Connection, statement: str) -> None:
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})  # it may have a %


def _power(role: sa.Row[Any]) -> str:
    """Return why row-level security does not hold for a role."""
    if role.rolsuper:
        return "is a superuser"
    return "has BYPASSRLS" if role.rolbypassrls else "owns the tables, or has the rights of who does"


async def check_wall(connection: AsyncConnection) -> None:
    """Raise ConfigurationError when the wall was built and does not stand before the role that we are.

    Without a wall, one role does everything, and there is nothing to check.
    """
    query = sa.text(
        "SELECT current_user AS role, rolsuper, rolbypassrls, relname, relrowsecurity AS enabled, "
        "row_security_active(pg_class.oid) AS active, "
        "(SELECT count(*) FROM pg_policy WHERE polrelid = pg_class.oid "
        "AND polname IN (current_user, current_user || :chores)) AS policies, "
        "EXISTS (SELECT 1 FROM pg_roles AS chores WHERE chores.rolname = current_user || :chores "
        "AND pg_has_role(chores.oid, CASE WHEN current_setting('server_version_num')::int < 160000 "
        "THEN 'MEMBER' ELSE 'SET' END)) AS member "
        "FROM pg_class JOIN pg_roles ON rolname = current_user "
        "WHERE relname = ANY(:tables) AND relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    tables = list(SQLModel.metadata.tables)
    rows = (await connection.execute(query, {"chores": CHORES, "tables": tables})).all()
    if not any(row.enabled for row in rows):
        return
    role = rows[0].role
    if any(row.enabled and not row.active for row in rows):
        raise ConfigurationError(
            f"The database keeps districts apart by row-level security, but not for the role {role}: it "
            f"{_power(rows[0])}. Set CERTSYNC_DATABASE_URL to the role of the service, and give this one to "
            "certsync migrate alone, as CERTSYNC_MIGRATION_DATABASE_URL."
        )
    lacking = sorted(row.relname for row in rows if not row.enabled or row.policies < POLICIES)
    if lacking or not rows[0].member:
        raise ConfigurationError(
            f"The role {role} does not have all of its row-level security: "
            f"{', '.join(lacking) or role + CHORES} is left. Type, with CERTSYNC_MIGRATION_DATABASE_URL set: "
            "certsync migrate"
        )
