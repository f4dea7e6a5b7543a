"""The log of manual writes: an import lists every one that it goes over, deletions too (I5)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import EditAction, RecordKind
from app.models import RecordEdit
from app.models.base import utc_now

record_edit = RecordEdit.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

FIELDS = {
    RecordKind.CERTIFICATION: ("status", "issue_date", "expiration_date"),
    RecordKind.ENDORSEMENT: ("description", "issue_date", "expiration_date", "limitation"),
}
"""What of a record is content, and logged. The rest identifies it, and a choice of `primary` is no edit."""


@dataclass(frozen=True)
class Edit:
    """One record as it was and as it is, in rows of `storage/records.py`; None where there is none.

    `licence` is the certification: the record itself, or the one that the endorsement belongs to.
    """

    record: RecordKind
    licence: sa.Row[Any]
    before: sa.Row[Any] | None
    after: sa.Row[Any] | None

    @property
    def action(self) -> EditAction:
        """What was done to the record."""
        if self.before is None:
            return EditAction.ADDED
        return EditAction.DELETED if self.after is None else EditAction.CHANGED


async def log_edits(session: AsyncSession, district_id: str, user: str, edits: Iterable[Edit]) -> None:
    """Store what `user` did, as pending until the district's next import."""
    common = {"district_id": district_id, "edited_by": user, "at": utc_now()}
    rows = [common | _logged(edit) for edit in edits]
    if rows:
        await (await session.connection()).execute(sa.insert(record_edit), rows)


def _logged(edit: Edit) -> dict[str, Any]:
    found = edit.after or edit.before
    assert found is not None
    return {
        "action": edit.action,
        "record": edit.record,
        "public_id": found.id,
        "employee_number": edit.licence.employee_number,
        "license_number": edit.licence.license_number,
        "license_type": edit.licence.license_type,
        "code": found.code if edit.record is RecordKind.ENDORSEMENT else None,
        "before": _content(edit.record, edit.before),
        "after": _content(edit.record, edit.after),
    }


def _content(record: RecordKind, row: sa.Row[Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    values = row._asdict()
    return {name: _plain(values[name]) for name in FIELDS[record]}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
