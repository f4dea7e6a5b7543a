"""People of the file who resemble an employee without being one: the same id, or the same name (I12)."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.pipeline.match import SAME_NAME, UNMATCHED, active, employee
from app.storage import staging
from app.storage.staging import same_id_row, staged_person, staged_row


async def find_near_misses(connection: AsyncConnection, district_id: str) -> None:
    """Fill `staged_person` once the rows are matched."""
    await staging.create(connection, staged_person)
    await staging.fill(connection, staged_person, _people(district_id))
    await staging.settle(connection, staged_person)


def _people(district_id: str) -> sa.Select[tuple[object, ...]]:
    """Return whom the lists may name: who shares an employee's id under another name, or a name of ours.

    The latter only of employees whom nobody matches. Of an id or a name that is asked for, all are there, so
    that the ranks are those among all of the file.
    """
    # A row with a blank name has no name key; two of them are one person only if they say the same.
    half_a_name = sa.case(
        (
            staged_row.c.name_key.is_(None),
            staged_row.c.last_name + sa.literal("\x1f") + staged_row.c.first_name,
        )
    )
    person = (
        sa.select(
            staged_row.c.educator_key,
            staged_row.c.name_key,
            sa.func.min(staged_row.c.educator_id).label("educator_id"),
            sa.func.min(staged_row.c.last_name).label("last_name"),
            sa.func.min(staged_row.c.first_name).label("first_name"),
            sa.func.count().label("rows"),
        )
        .where(staged_row.c.line.in_(_near_misses(district_id)))
        .group_by(staged_row.c.educator_key, staged_row.c.name_key, half_a_name)
        .subquery()
    )
    by_id = {
        "partition_by": person.c.educator_key,
        "order_by": (person.c.name_key.nulls_last(), person.c.last_name, person.c.first_name),
    }
    by_name = {"partition_by": person.c.name_key, "order_by": person.c.educator_key}
    return sa.select(
        *person.c,
        sa.func.row_number().over(**by_id),  # type: ignore[arg-type]
        sa.func.count().over(partition_by=person.c.educator_key),
        sa.func.row_number().over(**by_name),  # type: ignore[arg-type]
        sa.func.count().over(partition_by=person.c.name_key),
    )


def _near_misses(district_id: str) -> sa.CompoundSelect[tuple[int]]:
    same_id = sa.select(same_id_row.c.line).where(~SAME_NAME)
    same_name = sa.select(staged_row.c.line).join_from(
        staged_row, employee, employee.c.name_key == staged_row.c.name_key
    )
    return sa.union(same_id, same_name.where(active(district_id), UNMATCHED))
