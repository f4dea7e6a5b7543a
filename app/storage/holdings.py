"""Every table, by what it holds of employees and licence holders: the list that export and erasure go by.

A table with rows of one person gets a `Holding`. What needs more than that is done elsewhere, and named in
`ELSEWHERE`; what has nothing of such people is in `NOTHING`, with the reason. A test fails for a table that
is in none of them, so that no later one is forgotten.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import Certification, Employee, Endorsement, IdempotencyKey, RecordEdit
from app.storage.audit_events import event, payload
from app.storage.audit_redaction import redact_employee

employee = Employee.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
certification = Certification.__table__  # type: ignore[attr-defined] # same
endorsement = Endorsement.__table__  # type: ignore[attr-defined] # same
edit = RecordEdit.__table__  # type: ignore[attr-defined] # same
answer = IdempotencyKey.__table__  # type: ignore[attr-defined] # same

INTERNAL = {"educator_key", "name_key", "request_hash"}
"""Columns that say nothing which another one does not."""


@dataclass(frozen=True)
class Whose:
    """By what rows are told to be of a person: the key and the number of an employee, as far as known."""

    district_id: str
    row_id: int | None
    number: str | None


@dataclass(frozen=True)
class Holding:
    """A table with rows of one person: `name` is its place in an export, `of` tells which rows are theirs."""

    name: str
    table: sa.Table
    of: Callable[[Whose], sa.ColumnElement[bool]]

    def _theirs(self, whose: Whose) -> sa.ColumnElement[bool]:
        return sa.and_(self.table.c.district_id == whose.district_id, self.of(whose))

    async def rows(self, connection: AsyncConnection, whose: Whose) -> list[dict[str, Any]]:
        """Return the person's rows."""
        query = sa.select(*(column for column in self.table.c if column.name not in INTERNAL))
        found = await connection.execute(query.where(self._theirs(whose)))
        return [dict(row) for row in found.mappings()]

    async def erase(self, connection: AsyncConnection, whose: Whose) -> None:
        """Erase the person's rows."""
        await connection.execute(sa.delete(self.table).where(self._theirs(whose)))


class AuditHolding(Holding):
    """What the audit trail says of a person; that something was done to somebody stays, and who did it."""

    async def rows(self, connection: AsyncConnection, whose: Whose) -> list[dict[str, Any]]:
        """Return what was done to the person's records, with before and after."""
        told = (event.c.at, event.c.actor, event.c.action, event.c.record_type, payload.c.content)
        query = sa.select(event.c.id, *told).join(payload, payload.c.event_id == event.c.id)
        found = await connection.execute(query.where(self._theirs(whose)).order_by(event.c.at, event.c.id))
        return [{**row, "content": json.loads(row["content"])} for row in found.mappings()]

    async def erase(self, connection: AsyncConnection, whose: Whose) -> None:
        """Redact the events, whose chain stays as it is."""
        if whose.number is not None:
            await redact_employee(connection, whose.district_id, whose.number)


def _equal(column: sa.ColumnElement[Any], value: int | str | None) -> sa.ColumnElement[bool]:
    """Return the condition for rows with this value; with none known for no row, never for blank ones."""
    return sa.false() if value is None else column == value


HOLDINGS = (
    Holding("endorsements", endorsement, lambda whose: _equal(endorsement.c.employee_id, whose.row_id)),
    Holding("certifications", certification, lambda whose: _equal(certification.c.employee_id, whose.row_id)),
    Holding("edits", edit, lambda whose: _equal(edit.c.employee_number, whose.number)),
    Holding(
        "stored_answers",
        answer,
        lambda whose: _equal(answer.c.body["employee_number"].as_string(), whose.number),
    ),
    Holding("employee", employee, lambda whose: _equal(employee.c.id, whose.row_id)),
    AuditHolding("audit_events", payload, lambda whose: _equal(payload.c.employee_number, whose.number)),
)
"""In the order of erasure: what points to another goes before it."""

ELSEWHERE = {
    "run_finding": "pipeline/person_findings.py: lines of a person, and lines that name them among others",
    "import_file": "pipeline/person_files.py: the files themselves name people, their rows do not",
}

NOTHING = {
    "district": "the district itself, and how its files are read",
    "job_class": "kinds of positions",
    "task": "a schedule, and ids of users",
    "run": "figures, a file's name, and ids of users; its lists are in run_finding",
    "file_removal": "keys of stored files, which are random or a run's id",
    "service_token": "programs, and ids of users",
    "service_token_read": "how much a program read",
    "audit_event": "who did what, with ids of users; of whose records, its payload tells",
    "audit_seal": "hashes",
    "audit_anchor": "hashes",
    "audit_redaction": "which events were redacted",
    "sftp_connection": "the state's server and the district's account there, encrypted; ids of users",
    "connection_state": "how that connection stands",
    "connection_proposal": "a change of that connection, and ids of users",
    "connection_event": "attempts to use that connection, and ids of users",
}
"""Tables without data of employees and licence holders. Ids of users stay, as evidence."""
