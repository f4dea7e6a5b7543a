"""Rules of writing a record by hand that certifications and endorsements share."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import AuditAction, AuditRecord, RecordSource
from app.errors import ConflictError, FieldError, ValidationFailedError
from app.models.base import utc_now
from app.storage import audit_events
from app.storage.audit_events import Change
from app.storage.record_edits import Edit, log_edits
from app.storage.versions import edits_moved, next_version

Fields = Mapping[str, Any]
"""Fields of a record under the names of api.md."""

BY_HAND = {"source": RecordSource.MANUAL, "run_id": None}
"""Columns of a record whose content a person wrote."""
OF_THE_WRITE = {"id", "version", "updated_by", "updated_at"}
"""What an audit event says otherwise, or what would differ after every write."""


def changes_of(given: Fields, stored: Fields, identity: Sequence[str]) -> dict[str, Any]:
    """Return the given fields that differ from the stored record.

    Raises ValidationFailedError naming each field of the record's identity that does (I5).
    """
    changes = {name: value for name, value in given.items() if value != stored[name]}
    if fixed := [name for name in identity if name in changes]:
        text = "identifies the record and cannot be changed; delete this one and add another"
        raise ValidationFailedError(
            f"What identifies a record cannot be changed ({', '.join(fixed)}). "
            "Delete this one and add another.",
            errors=[FieldError(("body", name), text, "identity") for name in fixed],
        )
    return changes


def check_dates(changes: Fields, stored: Fields) -> None:
    """Raise ValidationFailedError when a changed date puts the expiration before the issue.

    What is not changed is as stored, and what an import stored in another order may stay.
    """
    if changes.keys().isdisjoint(("issue_date", "expiration_date")):
        return
    record = {**stored, **changes}
    issued, expires = record["issue_date"], record["expiration_date"]
    if issued is None or expires is None or issued <= expires:
        return
    if "expiration_date" in changes:
        raise invalid("expiration_date", f"is before the issue date, {issued}", "date_order")
    raise invalid("issue_date", f"is after the expiration date, {expires}", "date_order")


def invalid(name: str, text: str, kind: str) -> ValidationFailedError:
    """Return the refusal of one field of the body; `text` completes the sentence that its name begins."""
    return ValidationFailedError(f"{name} {text}.", errors=[FieldError(("body", name), text, kind)])


def exists_already(noun: str, public_id: UUID) -> ConflictError:
    """Return the refusal to add a record that is there, with its address; `noun` is the path's."""
    return ConflictError(
        f"This record exists with the id {public_id}. Change that one.",
        headers={"Link": f'</api/v1/{noun}/{public_id}>; rel="related"'},
        extra={"id": str(public_id)},
    )


async def stamp(session: AsyncSession, user: str) -> dict[str, Any]:
    """Return the columns that every write sets: who, when, and a new version."""
    version = await next_version(await session.connection())
    return {"updated_by": user, "updated_at": utc_now(), "version": version}


async def finish(
    session: AsyncSession, district_id: str, user: str, *edits: Edit, only_primary: bool = False
) -> None:
    """Log the edits, unless it was only a choice of `primary`, audit them, and tell imports of it."""
    await log_edits(session, district_id, user, () if only_primary else edits)
    connection = await session.connection()
    await audit_events.record(connection, district_id, *map(_audited, edits))
    await edits_moved(connection, district_id)


def _audited(edit: Edit) -> Change:
    """Return the event of an edit; of a change it has what differs."""
    found = edit.after or edit.before
    assert found is not None
    before, after = _content(edit.before), _content(edit.after)
    if before is not None and after is not None:
        before, after = audit_events.difference(before, after)
    return Change(
        AuditAction(edit.action),
        AuditRecord(edit.record),
        found.id,
        before,
        after,
        edit.licence.employee_number,
    )


def _content(row: sa.Row[Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {name: value for name, value in row._asdict().items() if name not in OF_THE_WRITE}
