"""What an import changes, record by record, and which edits by hand it goes over (I5, I14).

Read from the change tables, so an import and a preview list the same. An endorsement is told apart from
others of its code by its id, as everywhere: when one of several goes, the ones after it change.
"""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import EditAction, RecordKind, RecordSource
from app.models import RecordEdit
from app.pipeline.difference import CERTIFICATION_FIELDS, ENDORSEMENT_FIELDS, Change, any_differs
from app.pipeline.match import certification, employee, endorsement
from app.pipeline.people_findings import WHO
from app.storage.row_stream import Row, grouped_rows
from app.storage.staging import (
    certification_change,
    endorsement_change,
    wanted_certification,
    wanted_endorsement,
)

edit = RecordEdit.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

FIELDS = {
    RecordKind.CERTIFICATION: CERTIFICATION_FIELDS,
    RecordKind.ENDORSEMENT: (*ENDORSEMENT_FIELDS, "is_primary"),
}
"""What is shown of a record besides its identity. That it is no longer a manual one is not shown."""
COLUMNS = {
    column.name: column.type
    for kind, table in (
        (RecordKind.CERTIFICATION, wanted_certification),
        (RecordKind.ENDORSEMENT, wanted_endorsement),
    )
    for column in table.c
    if column.name in FIELDS[kind]
}
SHOWN = {name: "primary" if name == "is_primary" else name for name in COLUMNS}
"""The columns' names in the HTTP contract."""
VALUES = {
    (kind.value, side): tuple((SHOWN[name], f"{side}_{name}") for name in names)
    for kind, names in FIELDS.items()
    for side in ("old", "new")
}
"""What is shown of a record before and after, and the columns of the query that have it."""
CHANGES = tuple(change.value for change in Change)
RESTORED = "restored"
"""What an import does to a record that somebody had deleted by hand."""


async def changes(connection: AsyncConnection, district_id: str) -> AsyncIterator[Row]:
    """Yield an item for each employee with records that are added, changed or removed.

    `manual_edit` says by whom and when a record was edited, if the import goes over that: of an added
    record it is the deletion that is undone.
    """
    async for group in _by_employee(connection, _records(district_id)):
        item = {name: group[0][name] for name in ("employee_number", "last_name", "first_name")}
        lists: dict[str, list[Row]] = {change: [] for change in CHANGES}
        for row in group:
            lists[row["change"]].append(_record(row))
        yield {**item, **lists}


async def overwritten(connection: AsyncConnection, district_id: str) -> AsyncIterator[Row]:
    """Yield the records that somebody edited by hand and the import changes, removes or restores."""
    records = _records(district_id).subquery()
    edited = sa.select(records).where(records.c.edited_by.is_not(None))
    async for group in _by_employee(connection, edited):
        for row in group:
            yield {
                **{name: row[name] for name in ("employee_number", "record", "license_number", "code")},
                "change": RESTORED if row["change"] == Change.ADDED else row["change"],
                "updated_by": row["edited_by"],
                "updated_at": _plain(row["edited_at"]),
            }


async def _by_employee(
    connection: AsyncConnection, query: sa.Select[Any] | sa.CompoundSelect[Any]
) -> AsyncIterator[list[Row]]:
    async for group in grouped_rows(connection, query.order_by("employee_number"), "employee_number"):
        yield sorted(group, key=_place)


def _place(row: Row) -> tuple[str, ...]:
    licence = (row["license_number"], row["license_type"])
    return (*licence, row["record"], row["code"] or "", row["public_id"].hex)


def _record(row: Row) -> Row:
    record = {
        "record": row["record"],
        "id": str(row["public_id"]),
        **{name: row[name] for name in ("license_number", "license_type", "code")},
    }
    edited = {"by": row["edited_by"], "at": _plain(row["edited_at"])}
    return {**record, **_content(row), "manual_edit": edited if row["edited_by"] is not None else None}


def _content(row: Row) -> Row:
    match row["change"]:
        case Change.ADDED:
            return _values(row, "new")
        case Change.REMOVED:
            return _values(row, "old")
    old, new = _values(row, "old"), _values(row, "new")
    return {"fields": {name: {"old": old[name], "new": new[name]} for name in old if old[name] != new[name]}}


def _values(row: Row, side: str) -> Row:
    return {shown: _plain(row[column]) for shown, column in VALUES[row["record"], side]}


def _records(district_id: str) -> sa.CompoundSelect[Any]:
    """Return the query of all records that a reader sees change, with their values before and after."""
    certifications = _of_kind(
        RecordKind.CERTIFICATION, certification, wanted_certification, certification_change, district_id
    )
    endorsements = (
        _of_kind(RecordKind.ENDORSEMENT, endorsement, wanted_endorsement, endorsement_change, district_id)
        .outerjoin(certification, certification.c.id == endorsement.c.certification_id)
        .outerjoin(
            wanted_certification,
            wanted_certification.c.public_id == wanted_endorsement.c.certification_public_id,
        )
    )
    return sa.union_all(certifications, endorsements)


def _of_kind(
    kind: RecordKind, existing: sa.Table, wanted: sa.Table, change: sa.Table, district_id: str
) -> sa.Select[Any]:
    last = _last_edits(district_id)
    manual = sa.and_(
        existing.c.source == RecordSource.MANUAL,
        # A choice of primary is no edit.
        sa.or_(
            change.c.kind == Change.REMOVED.value,
            any_differs(existing, wanted, (name for name in FIELDS[kind] if name != "is_primary")),
        ),
    )
    deleted = sa.and_(change.c.kind == Change.ADDED.value, last.c.action == EditAction.DELETED)
    return (
        sa.select(
            *WHO,
            change.c.kind.label("change"),
            sa.literal(kind.value).label("record"),
            change.c.public_id,
            *(
                sa.func.coalesce(certification.c[name], wanted_certification.c[name]).label(name)
                for name in ("license_number", "license_type")
            ),
            _code(existing, wanted).label("code"),
            *(_value(existing, name).label(f"old_{name}") for name in COLUMNS),
            *(_value(wanted, name).label(f"new_{name}") for name in COLUMNS),
            # The log knows better: a choice of primary marks the record, too.
            sa.case(
                (manual, sa.func.coalesce(last.c.edited_by, existing.c.updated_by)),
                (deleted, last.c.edited_by),
            ).label("edited_by"),
            sa.case((manual, sa.func.coalesce(last.c.at, existing.c.updated_at)), (deleted, last.c.at)).label(
                "edited_at"
            ),
        )
        .select_from(change)
        .outerjoin(existing, existing.c.id == change.c.record_id)
        .outerjoin(wanted, wanted.c.public_id == change.c.public_id)
        .outerjoin(last, last.c.public_id == change.c.public_id)
        .join(employee, employee.c.id == sa.func.coalesce(existing.c.employee_id, wanted.c.employee_id))
        .where(sa.or_(change.c.kind != Change.CHANGED.value, any_differs(existing, wanted, FIELDS[kind])))
    )


def _code(existing: sa.Table, wanted: sa.Table) -> sa.ColumnElement[Any]:
    if "code" not in wanted.c:
        return sa.type_coerce(sa.null(), sa.Text)
    return sa.func.coalesce(existing.c.code, wanted.c.code)


def _value(table: sa.Table, name: str) -> sa.ColumnElement[Any]:
    return table.c[name] if name in table.c else sa.type_coerce(sa.null(), COLUMNS[name])


def _last_edits(district_id: str) -> sa.Subquery:
    """Return the last edit by hand of each record that no import has come after."""
    place = sa.func.row_number().over(partition_by=edit.c.public_id, order_by=edit.c.id.desc())
    pending = (
        sa.select(edit.c.public_id, edit.c.edited_by, edit.c.at, edit.c.action, place.label("place"))
        .where(edit.c.district_id == district_id, edit.c.run_id.is_(None))
        .subquery()
    )
    return sa.select(pending).where(pending.c.place == 1).subquery()


def _plain(value: object) -> object:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, date) else value
