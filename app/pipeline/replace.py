"""The statements of the replace: what is written while the district's writers wait (I5).

They are made before that, so that nothing but their execution is waited for.
"""

from collections.abc import Iterable, Iterator
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
    record_columns,
    wanted_certification,
)

edit = RecordEdit.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


def replacement(
    run: Run, certifications: Difference, endorsements: Difference, version: int, now: datetime
) -> Iterator[sa.Executable]:
    """Yield the statements that delete, update and insert what the change tables name.

    Order matters: endorsements go before the certifications they hang on and come after them, and a
    primary flag is taken from one endorsement before another gets it. Each statement writes one part of the
    changes, so none takes long; what there is nothing of is not asked for, since writers wait.
    """
    stamp = {
        "source": RecordSource.IMPORT,
        "run_id": run.id,
        "updated_by": run.run_by,
        "updated_at": now,
        "version": version,
    }
    for part in endorsements.parts(Change.REMOVED):
        yield _delete(endorsement, endorsement_change, part)
    for part in certifications.parts(Change.REMOVED):
        yield _delete(certification, certification_change, part)
    for part in certifications.parts(Change.CHANGED):
        yield _update(certification, certification_change, CERTIFICATION_FIELDS, stamp, part)
    for part in certifications.parts(Change.ADDED):
        yield _insert_certifications(run.district_id, stamp, part)
    if endorsements.primaries_changed:
        yield _take_primary_flags()
    for part in endorsements.parts(Change.CHANGED):
        yield _update(endorsement, endorsement_change, (*ENDORSEMENT_FIELDS, "is_primary"), stamp, part)
    for part in endorsements.parts(Change.ADDED):
        yield _insert_endorsements(run.district_id, stamp, part)


async def execute_all(connection: AsyncConnection, statements: Iterable[sa.Executable]) -> None:
    """Execute statements of the replace, each with a wait for its end.

    A pipeline of psycopg's would wait once and be faster, but PostgreSQL does not count a client's silence
    in it and after it, so a worker that is stopped there would keep writers out for ever.
    """

    def work(within: sa.Connection) -> None:
        for statement in statements:
            within.execute(statement)

    await connection.run_sync(work)  # one way into SQLAlchemy and back instead of one for each


def _is(change: sa.Table, kind: Change, part: int) -> sa.ColumnElement[bool]:
    return sa.and_(change.c.kind == kind.value, change.c.part == part)


def _delete(table: sa.Table, change: sa.Table, part: int) -> sa.Executable:
    removed = sa.select(change.c.record_id).where(_is(change, Change.REMOVED, part))
    return sa.delete(table).where(table.c.id.in_(removed))


def _take_primary_flags() -> sa.Executable:
    changed = sa.select(endorsement_change.c.record_id).where(
        endorsement_change.c.kind == Change.CHANGED.value
    )
    return (
        sa.update(endorsement)
        .where(endorsement.c.id.in_(changed), endorsement.c.is_primary)
        .values(is_primary=False)
    )


def _update(
    table: sa.Table, change: sa.Table, fields: Iterable[str], stamp: dict[str, Any], part: int
) -> sa.Executable:
    return (
        sa.update(table)
        .where(table.c.id == change.c.record_id, _is(change, Change.CHANGED, part))
        .values({name: change.c[name] for name in fields} | stamp)
    )


def _insert_certifications(district_id: str, stamp: dict[str, Any], part: int) -> sa.Executable:
    change = certification_change
    copied = [column.name for column in record_columns(wanted_certification)]
    query = sa.select(
        *_stamped(certification, district_id, stamp), *(change.c[name] for name in copied)
    ).where(_is(change, Change.ADDED, part))
    return sa.insert(certification).from_select(["district_id", *stamp, *copied], query)


def _insert_endorsements(district_id: str, stamp: dict[str, Any], part: int) -> sa.Executable:
    change = endorsement_change
    copied = ["public_id", "employee_id", "code", "is_primary", *ENDORSEMENT_FIELDS]
    query = (
        sa.select(
            *_stamped(endorsement, district_id, stamp),
            certification.c.id,
            *(change.c[name] for name in copied),
        )
        .join_from(
            change,
            certification,
            sa.and_(
                certification.c.district_id == district_id,
                certification.c.public_id == change.c.certification_public_id,
            ),
        )
        .where(_is(change, Change.ADDED, part))
    )
    return sa.insert(endorsement).from_select(["district_id", *stamp, "certification_id", *copied], query)


def _stamped(table: sa.Table, district_id: str, stamp: dict[str, Any]) -> list[sa.ColumnElement[Any]]:
    """Return what every inserted row has in common, as typed constants of a SELECT."""
    values = {"district_id": district_id, **stamp}
    return [sa.literal(value, table.c[name].type) for name, value in values.items()]


def settlement(district_id: str, run_id: UUID) -> sa.Executable:
    """Return the statement that marks the edits an import came after: no later one lists them."""
    return sa.update(edit).where(_pending(district_id)).values(run_id=run_id)


async def any_pending_edits(connection: AsyncConnection, district_id: str) -> bool:
    """Tell whether there is anything for `settlement` to mark."""
    return bool((await connection.execute(sa.select(sa.exists().where(_pending(district_id))))).scalar_one())


def _pending(district_id: str) -> sa.ColumnElement[bool]:
    """Edits of employees who are not active stay pending, as their records stay what they are."""
    ours = sa.select(employee.c.employee_number).where(active(district_id))
    return sa.and_(
        edit.c.district_id == district_id, edit.c.run_id.is_(None), edit.c.employee_number.in_(ours)
    )
