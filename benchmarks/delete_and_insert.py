"""What an import would do without a difference: delete all records of the employees, and insert them anew."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.models import Run
from app.pipeline.difference import Difference

OF_ACTIVE = "employee_id IN (SELECT id FROM employee WHERE status = 'active')"
STAMP = "district_id, source, run_id, updated_by, updated_at, version"
DELETES = (
    f"DELETE FROM endorsement WHERE {OF_ACTIVE}",
    f"DELETE FROM certification WHERE {OF_ACTIVE}",
)
INSERTS = (
    f"""
    INSERT INTO certification (
        {STAMP}, public_id, employee_id, license_number, license_type, status, issue_date, expiration_date
    )
    SELECT
        :district, 'import', :run, :by, :now, :version,
        public_id, employee_id, license_number, license_type, status, issue_date, expiration_date
    FROM wanted_certification
    """,
    f"""
    INSERT INTO endorsement (
        {STAMP}, certification_id, public_id,
        employee_id, code, description, issue_date, expiration_date, limitation, is_primary
    )
    SELECT
        :district, 'import', :run, :by, :now, :version, c.id, w.public_id,
        w.employee_id, w.code, w.description, w.issue_date, w.expiration_date, w.limitation, w.is_primary
    FROM wanted_endorsement AS w
    JOIN certification AS c ON c.district_id = :district AND c.public_id = w.certification_public_id
    """,
)


def delete_and_insert(
    run: Run, _certifications: Difference, _endorsements: Difference, version: int, now: datetime
) -> list[sa.Executable]:
    """Stand for `app.pipeline.replace.replacement`."""
    stamp: dict[str, Any] = {"district": run.district_id, "by": run.run_by, "version": version}
    typed: tuple[sa.BindParameter[Any], ...] = (
        sa.bindparam("run", run.id, sa.Uuid()),
        sa.bindparam("now", now, sa.DateTime(timezone=True)),
        *(sa.bindparam(name, value) for name, value in stamp.items()),
    )
    return [*map(sa.text, DELETES), *(sa.text(insert).bindparams(*typed) for insert in INSERTS)]
