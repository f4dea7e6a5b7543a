"""The replace: one short transaction that writes the difference, the counts and the final status (I5)."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import RecordSource
from app.pipeline.difference import CERTIFICATION_FIELDS, ENDORSEMENT_FIELDS, Change
from app.pipeline.match import certification, endorsement
from app.storage.staging import (
    certification_change,
    endorsement_change,
    wanted_certification,
    wanted_endorsement,
)
from app.storage.versions import next_version


async def write_difference(
    connection: AsyncConnection, district_id: str, run_id: UUID, run_by: str, now: datetime
) -> None:
    """Delete, update and insert what the change tables name, inside the caller's transaction.

    Order matters: endorsements go before the certifications they hang on and come after them, and a
    primary flag is taken from one endorsement before another gets it.
    """
    stamp = {
        "source": RecordSource.IMPORT,
        "run_id": run_id,
        "updated_by": run_by,
        "updated_at": now,
        "version": await next_version(connection),
    }
    for table, change in ((endorsement, endorsement_change), (certification, certification_change)):
        await connection.execute(sa.delete(table).where(table.c.id.in_(_records(change, Change.REMOVED))))
    await _update(
        connection, certification, wanted_certification, CERTIFICATION_FIELDS, certification_change, stamp
    )
    await _insert_certifications(connection, district_id, stamp)
    await connection.execute(
        sa.update(endorsement)
        .where(endorsement.c.id.in_(_records(endorsement_change, Change.CHANGED)), endorsement.c.is_primary)
        .values(is_primary=False)
    )
    await _update(
        connection,
        endorsement,
        wanted_endorsement,
        (*ENDORSEMENT_FIELDS, "is_primary"),
        endorsement_change,
        stamp,
    )
    await _insert_endorsements(connection, district_id, stamp)


def _records(change: sa.Table, kind: Change) -> sa.Select[tuple[int]]:
    return sa.select(change.c.record_id).where(change.c.kind == kind.value)


async def _update(
    connection: AsyncConnection,
    table: sa.Table,
    wanted: sa.Table,
    fields: tuple[str, ...],
    change: sa.Table,
    stamp: dict[str, Any],
) -> None:
    await connection.execute(
        sa.update(table)
        .where(
            table.c.id == change.c.record_id,
            change.c.kind == Change.CHANGED.value,
            change.c.public_id == wanted.c.public_id,
        )
        .values({**{name: wanted.c[name] for name in fields}, **stamp})
    )


async def _insert_certifications(
    connection: AsyncConnection, district_id: str, stamp: dict[str, Any]
) -> None:
    copied = [column.name for column in wanted_certification.columns]
    query = sa.select(*_stamped(certification, district_id, stamp), *wanted_certification.c).join_from(
        wanted_certification,
        certification_change,
        sa.and_(
            certification_change.c.public_id == wanted_certification.c.public_id,
            certification_change.c.kind == Change.ADDED.value,
        ),
    )
    await connection.execute(sa.insert(certification).from_select(["district_id", *stamp, *copied], query))


async def _insert_endorsements(connection: AsyncConnection, district_id: str, stamp: dict[str, Any]) -> None:
    copied = ["public_id", "employee_id", "code", "is_primary", *ENDORSEMENT_FIELDS]
    query = (
        sa.select(
            *_stamped(endorsement, district_id, stamp),
            certification.c.id,
            *(wanted_endorsement.c[name] for name in copied),
        )
        .join_from(
            wanted_endorsement,
            endorsement_change,
            sa.and_(
                endorsement_change.c.public_id == wanted_endorsement.c.public_id,
                endorsement_change.c.kind == Change.ADDED.value,
            ),
        )
        .join(
            certification,
            sa.and_(
                certification.c.district_id == district_id,
                certification.c.public_id == wanted_endorsement.c.certification_public_id,
            ),
        )
    )
    await connection.execute(
        sa.insert(endorsement).from_select(["district_id", *stamp, "certification_id", *copied], query)
    )


def _stamped(table: sa.Table, district_id: str, stamp: dict[str, Any]) -> list[sa.ColumnElement[Any]]:
    """Return what every inserted row has in common, as typed constants of a SELECT."""
    values = {"district_id": district_id, **stamp}
    return [sa.literal(value, table.c[name].type) for name, value in values.items()]
