"""Who of the file is ours, and which records they should hold: set-based SQL on staging tables (I3, I4).

A file's rows are matched some at a time, while those behind them are read: the database would wait otherwise.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import EmployeeStatus
from app.models import Certification, Employee, Endorsement
from app.storage import staging
from app.storage.record_ids import sql_certification_id, sql_endorsement_id
from app.storage.staging import (
    same_id_row,
    split_licence,
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


async def begin(connection: AsyncConnection) -> None:
    """Make the tables of matched rows and wanted records, empty."""
    await staging.create(connection, same_id_row, wanted_certification, wanted_endorsement)


async def match_rows(
    connection: AsyncConnection, district_id: str, statuses: Sequence[str], first: int = 0
) -> int:
    """Add what the rows of `staged_row` from the line `first` on make wanted; return how many are matched.

    `statuses` are the imported licence statuses, the preferred first. Everything is a statement of the
    database; nothing of the file is held here.
    """
    await staging.fill(connection, same_id_row, _matched(district_id).where(staged_row.c.line >= first))
    these = same_id_row.c.line >= first
    await staging.fill(connection, wanted_certification, _certifications(statuses, these))
    await staging.fill(connection, wanted_endorsement, _endorsements(these))
    # A row can be of several employees. PostgreSQL sorts for count(DISTINCT …), and hashes for this.
    lines = sa.select(same_id_row.c.line).where(SAME_NAME, these).distinct().subquery()
    return int((await connection.execute(sa.select(sa.func.count()).select_from(lines))).scalar_one())


async def finish(connection: AsyncConnection, district_id: str, statuses: Sequence[str]) -> None:
    """Put together what `match_rows` found of all rows, and tell whom no row matches."""
    await staging.settle(connection, same_id_row)
    await _mend(connection, statuses)
    await staging.settle(connection, wanted_certification, wanted_endorsement)
    await staging.create(connection, unmatched)
    await staging.fill(connection, unmatched, _unmatched(district_id))
    await staging.settle(connection, unmatched)


async def _mend(connection: AsyncConnection, statuses: Sequence[str]) -> None:
    """Make licences anew whose rows were not matched at once, so that they are wanted more than once."""
    wanted = wanted_certification.c
    several = sa.select(wanted.public_id).group_by(wanted.public_id).having(sa.func.count() > 1)
    await staging.create(connection, split_licence)
    await staging.fill(connection, split_licence, several)
    split = sa.select(split_licence.c.public_id)
    these = same_id_row.c.certification_public_id.in_(split)
    theirs = wanted_endorsement.c.certification_public_id.in_(split)
    await connection.execute(sa.delete(wanted_certification).where(wanted.public_id.in_(split)))
    await connection.execute(sa.delete(wanted_endorsement).where(theirs))
    await staging.fill(connection, wanted_certification, _certifications(statuses, these))
    await staging.fill(connection, wanted_endorsement, _endorsements(these))


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


def _certifications(statuses: Sequence[str], these: sa.ColumnElement[bool]) -> sa.Select[tuple[object, ...]]:
    """One certification a licence; where its rows disagree, the one that lasts longest wins (I4)."""
    licence = same_id_row.c.certification_public_id
    expires, issued = same_id_row.c.expiration_date, same_id_row.c.issue_date
    preference = sa.case({status: place for place, status in enumerate(statuses)}, value=same_id_row.c.status)
    best_first = (expires.desc().nulls_last(), issued.desc().nulls_last(), preference)
    best_last = (expires.asc().nulls_first(), issued.asc().nulls_first(), preference.desc())
    public_id, *others, variants = (column.name for column in wanted_certification.c)
    ranked = (
        sa.select(
            licence.label(public_id),
            *(same_id_row.c[name] for name in others),
            sa.func.dense_rank().over(partition_by=licence, order_by=best_last).label(variants),
            sa.func.row_number().over(partition_by=licence, order_by=best_first).label("place"),
        )
        .where(SAME_NAME, these)
        .subquery()
    )
    return sa.select(*(column for column in ranked.c if column.name != "place")).where(ranked.c.place == 1)


def _unmatched(district_id: str) -> sa.Select[tuple[object, ...]]:
    theirs = sa.exists().where(wanted_certification.c.employee_id == employee.c.id)
    return sa.select(employee.c.id, employee.c.job_class).where(active(district_id), ~theirs)


def _endorsements(these: sa.ColumnElement[bool]) -> sa.Select[tuple[object, ...]]:
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
        .where(SAME_NAME, these, same_id_row.c.code.is_not(None))
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
