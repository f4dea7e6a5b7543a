"""Says in words which rule of the database a write broke.

Services check these rules first and answer better; what arrives here lost a race against another writer.
"""

from sqlalchemy.exc import IntegrityError

from app.errors import ConflictError

RETRY = "Somebody else changed the same thing at the same moment. Read it again and repeat your change."
RULES = {
    "uq_employee_district_id_employee_number": "An employee with this number was added at the same moment.",
    "fk_employee_district_id_job_class": "A job class was deleted while employees were put in it.",
    "pk_job_class": "A job class with this code was added at the same moment.",
    "pk_sftp_connection": "The connection was saved by somebody else at the same moment.",
    "fk_certification_employee_id": "The employee holds certifications and cannot be deleted.",
    "uq_certification_district_id_public_id": "The same certification was added at the same moment.",
    "uq_endorsement_district_id_public_id": "An endorsement of this code was added at the same moment.",
    "uq_endorsement_primary": "Another endorsement of the employee became the primary one.",
    "fk_endorsement_certification_id": "The certification was deleted at the same moment.",
    "uq_run_in_progress": "Another run of the district began at the same moment.",
}
"""Constraint name -> what happened. SQLite has one writer at a time and cannot lose these races."""

UNIQUE_VIOLATION, FOREIGN_KEY_VIOLATION = "23505", "23503"


def conflict_of(error: IntegrityError) -> ConflictError | None:
    """Return the conflict behind a refused write; None when it is a fault of our own."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is None:
        lost = "UNIQUE constraint" in str(error.orig) or "FOREIGN KEY constraint" in str(error.orig)
        return ConflictError(RETRY) if lost else None
    if diagnosis.sqlstate not in (UNIQUE_VIOLATION, FOREIGN_KEY_VIOLATION):
        return None
    return ConflictError(f"{RULES.get(diagnosis.constraint_name, '')} {RETRY}".strip())
