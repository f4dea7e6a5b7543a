"""The replace: one short transaction that writes the difference, the counts and the final status (I5)."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import RecordSource
from app.models import RecordEdit, Run
from app.pipeline.difference import CERTIFICATION_FIELDS, ENDORSEMENT_FIELDS, Change, Difference
from app.pipeline.match import active, certification, employee, endorsement
from app.storage.staging import (
    certification_change,
    endorsement_change,
    wanted_certification,
    wanted_endorsement,
)
from app.storage.versions import next_version

edit = RecordEdit.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


async def write_difference(
    connection: AsyncConnection,
    run: Run,
    certifications: Difference,
    endorsements: Difference,
    now: datetime,
) -> None:
    """Delete, update and insert what the change tables name, inside the caller's transaction.

    Order matters: endorsements go before the certifications they hang on and come after them, and a
    primary flag is taken from one endorsement before another gets it. Each statement writes one part of the
    changes, so none takes long; what there is nothing of is not asked for, since writers wait.
    """
    stamp = {
        "source": RecordSource.IMPORT,
        "run_id": run.id,
        "updated_by": run.run_by,
        "updated_at": now,
        "version": await next_version(connection),
    }
    for part in endorsements.parts(Change.REMOVED):
        await _delete(connection, endorsement, endorsement_change, part)
    for part in certifications.parts(Change.REMOVED):
        await _delete(connection, certification, certification_change, part)
    for part in certifications.parts(Change.CHANGED):
        await _update_certifications(connection, stamp, part)
    for part in certifications.parts(Change.ADDED):
        await _insert_certifications(connection, run.district_id, stamp, part)
    if endorsements.changed:
        await _take_primary_flags(connection)
    for part in endorsements.parts(Change.CHANGED):
        await _update_endorsements(connection, stamp, part)
    for part in endorsements.parts(Change.ADDED):
        await _insert_endorsements(connection, run.district_id, stamp, part)


def _is(change: sa.Table, kind: Change, part: int) -> sa.ColumnElement[bool]:
    return sa.and_(change.c.kind == kind.value, change.c.part == part)


async def _delete(connection: AsyncConnection, table: sa.Table, change: sa.Table, part: int) -> None:
    removed = sa.select(change.c.record_id).where(_is(change, Change.REMOVED, part))
    await connection.execute(sa.delete(table).where(table.c.id.in_(removed)))


async def _take_primary_flags(connection: AsyncConnection) -> None:
    changed = sa.select(endorsement_change.c.record_id).where(
        endorsement_change.c.kind == Change.CHANGED.value
    )
    await connection.execute(
        sa.update(endorsement)
        .where(endorsement.c.id.in_(changed), endorsement.c.is_primary)
        .values(is_primary=False)
    )


async def settle_edits(connection: AsyncConnection, district_id: str, run_id: UUID) -> None:
    """Mark the edits that this import came after, so that no later one lists them (I5).

    Those of employees who are not active stay pending, as their records stay what they are.
    """
    ours = sa.select(employee.c.employee_number).where(active(district_id))
    await connection.execute(
        sa.update(edit)
        .where(edit.c.district_id == district_id, edit.c.run_id.is_(None), edit.c.employee_number.in_(ours))
        .values(run_id=run_id)
    )


async def _update_certifications(connection: AsyncConnection, stamp: dict[str, Any], part: int) -> None:
    change, wanted = certification_change, wanted_certification
    values = {name: wanted.c[name] for name in CERTIFICATION_FIELDS}
    await connection.execute(
        sa.update(certification)
        .where(
            certification.c.id == change.c.record_id,
            change.c.public_id == wanted.c.public_id,
            _is(change, Change.CHANGED, part),
        )
        .values(values | stamp)
    )


async def _update_endorsements(connection: AsyncConnection, stamp: dict[str, Any], part: int) -> None:
    change, wanted = endorsement_change, wanted_endorsement
    values = {name: wanted.c[name] for name in (*ENDORSEMENT_FIELDS, "is_primary")}
    await connection.execute(
        sa.update(endorsement)
        .where(
            endorsement.c.id == change.c.record_id,
            change.c.public_id == wanted.c.public_id,
            _is(change, Change.CHANGED, part),
        )
        .values(values | stamp)
    )


async def _insert_certifications(
    connection: AsyncConnection, district_id: str, stamp: dict[str, Any], part: int
) -> None:
    change, wanted = certification_change, wanted_certification
    copied = [column.name for column in wanted.columns]
    query = (
        sa.select(*_stamped(certification, district_id, stamp), *wanted.c)
        .join_from(wanted, change, change.c.public_id == wanted.c.public_id)
        .where(_is(change, Change.ADDED, part))
    )
    await connection.execute(sa.insert(certification).from_select(["district_id", *stamp, *copied], query))


async def _insert_endorsements(
    connection: AsyncConnection, district_id: str, stamp: dict[str, Any], part: int
) -> None:
    change, wanted = endorsement_change, wanted_endorsement
    copied = ["public_id", "employee_id", "code", "is_primary", *ENDORSEMENT_FIELDS]
    query = (
        sa.select(
            *_stamped(endorsement, district_id, stamp),
            certification.c.id,
            *(wanted.c[name] for name in copied),
        )
        .join_from(wanted, change, change.c.public_id == wanted.c.public_id)
        .join(
            certification,
            sa.and_(
                certification.c.district_id == district_id,
                certification.c.public_id == wanted.c.certification_public_id,
            ),
        )
        .where(_is(change, Change.ADDED, part))
    )
    await connection.execute(
        sa.insert(endorsement).from_select(["district_id", *stamp, "certification_id", *copied], query)
    )


def _stamped(table: sa.Table, district_id: str, stamp: dict[str, Any]) -> list[sa.ColumnElement[Any]]:
    """Return what every inserted row has in common, as typed constants of a SELECT."""
    values = {"district_id": district_id, **stamp}
    return [sa.literal(value, table.c[name].type) for name, value in values.items()]
