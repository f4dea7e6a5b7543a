"""What the replace would have to write, so that it writes that and nothing else (I5).

Reported is a delete-and-reimport; written is only what differs. Computed before the lock, and valid as long
as the district's two data versions stand still.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import RecordKind, RecordSource
from app.pipeline.match import active, certification, employee, endorsement
from app.storage import staging
from app.storage.record_edits import FIELDS
from app.storage.staging import (
    certification_change,
    endorsement_change,
    wanted_certification,
    wanted_endorsement,
)


class Change(StrEnum):
    """What happens to one record."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


CERTIFICATION_FIELDS = FIELDS[RecordKind.CERTIFICATION]
"""What of a certification an import can change, as a person can; the rest is its identity."""
ENDORSEMENT_FIELDS = FIELDS[RecordKind.ENDORSEMENT]
"""What of an endorsement an import can change."""
KEPT_OF_REMOVED = ("public_id", "employee_id")
"""What the change of a removed record says of it; the rest is still in the record."""
PART = 20_000
"""Records written by one statement: PostgreSQL ends one that takes long (`GUARD_LIMITS`)."""


@dataclass(frozen=True)
class Difference:
    """Numbers of one kind of record: held before, held after, and what is written.

    `primaries_changed` are those of the changed that are primary endorsements before.
    """

    held: int
    wanted: int
    added: int
    changed: int
    removed: int
    primaries_changed: int = 0

    def parts(self, kind: Change) -> range:
        """Return the numbers of the parts in which the records of one kind of change are written."""
        return range(-(-getattr(self, kind.value) // PART))

    def changes_much(self) -> bool:
        """Tell whether more than a tenth of the records come or go."""
        return (self.added + self.removed) * 10 > self.wanted

    def figures(self, records: str) -> dict[str, int]:
        """Return the figures as I12 reports them, with what is behind them, named after `records`."""
        return {
            f"{records}_deleted": self.held,
            f"{records}_imported": self.wanted,
            f"{records}_added": self.added,
            f"{records}_changed": self.changed,
            f"{records}_removed": self.removed,
            f"{records}_unchanged": self.wanted - self.added - self.changed,
        }


async def find_differences(connection: AsyncConnection, district_id: str) -> tuple[Difference, Difference]:
    """Fill the change tables; return the numbers of certifications and of endorsements."""
    await staging.create(connection, certification_change, endorsement_change)
    certifications = await _compare(
        connection,
        existing=certification,
        wanted=wanted_certification,
        change=certification_change,
        differs=differs(certification, wanted_certification, CERTIFICATION_FIELDS),
        district_id=district_id,
    )
    endorsements = await _compare(
        connection,
        existing=endorsement,
        wanted=wanted_endorsement,
        change=endorsement_change,
        differs=differs(endorsement, wanted_endorsement, (*ENDORSEMENT_FIELDS, "is_primary")),
        district_id=district_id,
    )
    return certifications, replace(endorsements, primaries_changed=await _primaries_changed(connection))


async def _primaries_changed(connection: AsyncConnection) -> int:
    changed = sa.select(endorsement_change.c.record_id).where(
        endorsement_change.c.kind == Change.CHANGED.value
    )
    return await _count(connection, endorsement, endorsement.c.id.in_(changed), endorsement.c.is_primary)


def differs(existing: sa.Table, wanted: sa.Table, fields: tuple[str, ...]) -> sa.ColumnElement[bool]:
    """Return the condition that a field differs, or that the record is no longer a manual one."""
    return sa.or_(existing.c.source != RecordSource.IMPORT, any_differs(existing, wanted, fields))


def any_differs(existing: sa.Table, wanted: sa.Table, fields: Iterable[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a field differs."""
    return sa.or_(*(existing.c[name].is_distinct_from(wanted.c[name]) for name in fields))


def held_by_active(existing: sa.Table, district_id: str) -> sa.ColumnElement[bool]:
    """Return the condition on records that an import replaces: those of active employees."""
    return sa.and_(
        existing.c.district_id == district_id,
        existing.c.employee_id.in_(sa.select(employee.c.id).where(active(district_id))),
    )


async def _compare(
    connection: AsyncConnection,
    *,
    existing: sa.Table,
    wanted: sa.Table,
    change: sa.Table,
    differs: sa.ColumnElement[bool],
    district_id: str,
) -> Difference:
    same_record = sa.and_(existing.c.district_id == district_id, existing.c.public_id == wanted.c.public_id)
    taken = staging.record_columns(wanted)
    names = [column.name for column in taken]
    kind = sa.case((existing.c.id.is_(None), Change.ADDED.value), else_=Change.CHANGED.value)
    part = (sa.func.row_number().over(partition_by=kind) - 1) // PART
    written = (
        sa.select(kind, part, existing.c.id, *taken)
        .select_from(wanted.outerjoin(existing, same_record))
        .where(sa.or_(existing.c.id.is_(None), differs))
    )
    gone = (existing.c[name] if name in KEPT_OF_REMOVED else sa.null() for name in names)
    removed = (
        sa.select(
            sa.literal(Change.REMOVED.value),
            (sa.func.row_number().over() - 1) // PART,
            existing.c.id,
            *gone,
        )
        .select_from(existing.outerjoin(wanted, same_record))
        .where(held_by_active(existing, district_id), wanted.c.public_id.is_(None))
    )
    columns = ["kind", "part", "record_id", *names]
    for query in (written, removed):
        await connection.execute(sa.insert(change).from_select(columns, query))
    await staging.settle(connection, change)
    counted = await connection.execute(sa.select(change.c.kind, sa.func.count()).group_by(change.c.kind))
    numbers = dict.fromkeys(Change, 0) | {Change(kind): count for kind, count in counted}
    total = await _count(connection, wanted)
    return Difference(
        # What is wanted and not added is held already, under the same id.
        held=total - numbers[Change.ADDED] + numbers[Change.REMOVED],
        wanted=total,
        added=numbers[Change.ADDED],
        changed=numbers[Change.CHANGED],
        removed=numbers[Change.REMOVED],
    )


async def _count(connection: AsyncConnection, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    return int(
        (await connection.execute(sa.select(sa.func.count()).select_from(table).where(*where))).scalar_one()
    )
