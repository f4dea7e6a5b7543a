"""Who of the file is ours, and which records they should hold: set-based SQL on staging tables (I3, I4)."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import EmployeeStatus
from app.models import Certification, Employee, Endorsement
from app.storage import staging
from app.storage.record_ids import sql_certification_id, sql_endorsement_id
from app.storage.staging import (
    same_id_row,
    staged_person,
    staged_row,
    unmatched,
    wanted_certification,
    wanted_endorsement,
)

employee = Employee.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
certification = Certification.__table__  # type: ignore[attr-defined]
endorsement = Endorsement.__table__  # type: ignore[attr-defined]

SAME_NAME = same_id_row.c.certification_public_id.is_not(None)
"""The condition on `same_id_row` for those that are an employee's by name as well."""
UNMATCHED = sa.exists().where(unmatched.c.employee_id == employee.c.id)
"""The condition on `employee` for those active ones of whom the file has no licence.

EXISTS, because PostgreSQL makes a join of its negation; that of IN it would ask again for each employee.
"""


def active(district_id: str) -> sa.ColumnElement[bool]:
    """Return the condition on `employee` for those who are matched at all."""
    return sa.and_(employee.c.district_id == district_id, employee.c.status == EmployeeStatus.ACTIVE)


async def match(connection: AsyncConnection, district_id: str, statuses: Sequence[str]) -> None:
    """Fill the tables of matched rows, people and wanted records from `staged_row`.

    `statuses` are the imported licence statuses, the preferred first. Everything is a statement of the
    database; nothing of the file is held here.
    """
    await staging.create(
        connection, staged_person, same_id_row, wanted_certification, unmatched, wanted_endorsement
    )
    for table, query in (
        (same_id_row, _matched(district_id)),
        (wanted_certification, _certifications(statuses)),
        (unmatched, _unmatched(district_id)),
        (wanted_endorsement, _endorsements()),
        (staged_person, _people(district_id)),
    ):
        await connection.execute(
            sa.insert(table).from_select([column.name for column in table.columns], query)
        )
        await staging.settle(connection, table)


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


def _matched(district_id: str) -> sa.Select[tuple[object, ...]]:
    """All three must agree: State Staff ID, last name and first name (the two names are one key).

    Rows under another name are a near miss, and of no certification.
    """
    line, _, _, *others = (column.name for column in same_id_row.c)
    certification_id = sql_certification_id(
        district_id, employee.c.employee_number, staged_row.c.license_number, staged_row.c.license_type
    )
    # Two blank names are not the same: nothing equals NULL.
    theirs = sa.case((employee.c.name_key == staged_row.c.name_key, certification_id))
    return sa.select(
        staged_row.c[line], employee.c.id, theirs, *(staged_row.c[name] for name in others)
    ).join_from(
        staged_row,
        employee,
        sa.and_(active(district_id), employee.c.educator_key == staged_row.c.educator_key),
    )


def _certifications(statuses: Sequence[str]) -> sa.Select[tuple[object, ...]]:
    """One certification a licence; where its rows disagree, the one that lasts longest wins (I4)."""
    rank = sa.func.row_number().over(
        partition_by=same_id_row.c.certification_public_id,
        order_by=(
            same_id_row.c.expiration_date.desc().nulls_last(),
            same_id_row.c.issue_date.desc().nulls_last(),
            sa.case({status: place for place, status in enumerate(statuses)}, value=same_id_row.c.status),
        ),
    )
    public_id, *others = (column.name for column in wanted_certification.c)
    ranked = (
        sa.select(
            same_id_row.c.certification_public_id.label(public_id),
            *(same_id_row.c[name] for name in others),
            rank.label("place"),
        )
        .where(SAME_NAME)
        .subquery()
    )
    return sa.select(*(column for column in ranked.c if column.name != "place")).where(ranked.c.place == 1)


def _unmatched(district_id: str) -> sa.Select[tuple[object, ...]]:
    theirs = sa.exists().where(wanted_certification.c.employee_id == employee.c.id)
    return sa.select(employee.c.id, employee.c.job_class).where(active(district_id), ~theirs)


def _endorsements() -> sa.Select[tuple[object, ...]]:
    """Each distinct (code, limitation, dates) of a licence is one; ordinals tell equal codes apart."""
    facts = (
        same_id_row.c.certification_public_id,
        same_id_row.c.code,
        same_id_row.c.limitation,
        same_id_row.c.endorsement_issue_date,
        same_id_row.c.endorsement_expiration_date,
    )
    ordinal = sa.func.row_number().over(
        partition_by=(same_id_row.c.certification_public_id, same_id_row.c.code),
        order_by=(
            sa.func.coalesce(same_id_row.c.limitation, ""),
            same_id_row.c.endorsement_issue_date.nulls_first(),
            same_id_row.c.endorsement_expiration_date.nulls_first(),
        ),
    )
    distinct = (
        sa.select(
            *facts,
            sa.func.min(same_id_row.c.employee_id).label("employee_id"),  # all the same: it is part of the id
            sa.func.max(same_id_row.c.description).label("description"),
            ordinal.label("ordinal"),
        )
        .where(SAME_NAME, same_id_row.c.code.is_not(None))
        .group_by(*facts)
        .subquery()
    )
    certification_id = distinct.c.certification_public_id
    return sa.select(
        sql_endorsement_id(certification_id, distinct.c.code, distinct.c.ordinal),
        certification_id,
        distinct.c.employee_id,
        distinct.c.code,
        distinct.c.ordinal,
        distinct.c.description,
        distinct.c.endorsement_issue_date,
        distinct.c.endorsement_expiration_date,
        distinct.c.limitation,
        sa.false(),
    )


async def keep_primary_choices(connection: AsyncConnection, district_id: str) -> None:
    """Carry each choice of a primary endorsement over to the same endorsement, if it came back (I5).

    Several endorsements of one code on a licence are told apart by what they say, then by their ordinal,
    since one that disappears moves the ordinals of the others.
    """
    chosen, wanted = endorsement, wanted_endorsement
    await connection.execute(sa.update(wanted).where(wanted.c.is_primary).values(is_primary=False))
    same_limitation = chosen.c.limitation.is_not_distinct_from(wanted.c.limitation)
    same_dates = sa.and_(
        chosen.c.issue_date.is_not_distinct_from(wanted.c.issue_date),
        chosen.c.expiration_date.is_not_distinct_from(wanted.c.expiration_date),
    )
    closeness = sa.case(
        (sa.and_(same_limitation, same_dates), 0),
        (same_limitation, 1),
        (chosen.c.public_id == wanted.c.public_id, 2),
        else_=3,
    )
    candidates = (
        sa.select(
            wanted.c.public_id,
            sa.func.row_number()
            .over(partition_by=chosen.c.id, order_by=(closeness, wanted.c.ordinal))
            .label("place"),
        )
        .join_from(chosen, certification, certification.c.id == chosen.c.certification_id)
        .join(
            wanted,
            sa.and_(
                wanted.c.certification_public_id == certification.c.public_id, wanted.c.code == chosen.c.code
            ),
        )
        .where(chosen.c.district_id == district_id, chosen.c.is_primary)
        .subquery()
    )
    await connection.execute(
        sa.update(wanted)
        .where(wanted.c.public_id.in_(sa.select(candidates.c.public_id).where(candidates.c.place == 1)))
        .values(is_primary=True)
    )
