"""The figures of a run (I12): `summary` of the API, and what the report prints."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FindingKind
from app.pipeline.difference import Change, Difference
from app.pipeline.match import UNMATCHED, active, certification, employee
from app.pipeline.parse import RowCounts
from app.storage.staging import (
    certification_change,
    staged_person,
    unmatched,
    wanted_certification,
    wanted_endorsement,
)


async def summarise(
    connection: AsyncConnection,
    district_id: str,
    counts: RowCounts,
    rows_matched: int,
    differences: tuple[Difference, Difference],
    totals: dict[FindingKind, int],
) -> dict[str, Any]:
    """Return the summary under the names of the HTTP contract, and some beside.

    Every row is counted once: read = rejected + other_status + not_ours + matched.
    """
    certifications, endorsements = differences
    everybody, matched = await _people(connection, district_id)
    return {
        "rows_read": counts.read,
        "rows_rejected": counts.rejected,
        "rows_other_status": sum(counts.other_status.values()),
        "rows_by_other_status": dict(sorted(counts.other_status.items())),
        "rows_not_ours": counts.importable - rows_matched,
        "rows_matched": rows_matched,
        "rows_same_id_other_name": await _scalar(connection, _rows_under_another_name(district_id)),
        "employees_active": everybody,
        "employees_matched": matched,
        "employees_skipped": totals[FindingKind.SKIPPED],
        "employees_not_in_file": everybody - matched - totals[FindingKind.SKIPPED],
        "employees_missing_certification": totals[FindingKind.MISSING],
        "employees_expired_certification": totals[FindingKind.EXPIRED],
        **certifications.figures("certifications"),
        **await _blanks(connection, "certifications", wanted_certification),
        **endorsements.figures("endorsements"),
        **await _blanks(connection, "endorsements", wanted_endorsement),
        "licenses_conflicting": totals[FindingKind.DISAGREEMENT],
        "manual_edits_overwritten": totals[FindingKind.OVERWRITTEN],
    }


async def shrinkage(connection: AsyncConnection, district_id: str) -> tuple[int, int]:
    """Return (active employees who hold a certification, those of them who would hold none).

    Read from the change tables: who loses all of them is among those who lose one, and who will hold some
    has held some unless all of them are new.
    """
    _, matched = await _people(connection, district_id)
    change = certification_change.c
    held = sa.exists().where(certification.c.employee_id == change.employee_id)
    new = sa.select(change.employee_id).where(change.kind == Change.ADDED.value, ~held)
    lost = sa.select(change.employee_id).where(
        change.kind == Change.REMOVED.value, change.employee_id.in_(sa.select(unmatched.c.employee_id))
    )
    losing = await _scalar(connection, _distinct(lost))
    return matched - await _scalar(connection, _distinct(new)) + losing, losing


async def _people(connection: AsyncConnection, district_id: str) -> tuple[int, int]:
    """Return the numbers of active employees, and of those whom a row matches."""
    everybody = await _scalar(
        connection, sa.select(sa.func.count()).select_from(employee).where(active(district_id))
    )
    return everybody, everybody - await _scalar(connection, sa.select(sa.func.count()).select_from(unmatched))


def _rows_under_another_name(district_id: str) -> sa.Select[int]:
    """Count rows that have the id of a matched employee, but not the name."""
    person = staged_person.c
    under_another_name = (
        sa.select(person.educator_key, person.name_key, person.rows)
        .join_from(employee, staged_person, person.educator_key == employee.c.educator_key)
        .where(active(district_id), ~UNMATCHED, person.name_key.is_distinct_from(employee.c.name_key))
        .distinct()
        .subquery()
    )
    return sa.select(sa.func.coalesce(sa.func.sum(under_another_name.c.rows), 0))


async def _blanks(connection: AsyncConnection, records: str, table: sa.Table) -> dict[str, int]:
    blank = (
        sa.func.count().filter(table.c[name].is_(None)).label(f"{records}_missing_{name}")
        for name in ("issue_date", "expiration_date")
    )
    return dict((await connection.execute(sa.select(*blank).select_from(table))).mappings().one())


def _distinct(query: sa.Select[int]) -> sa.Select[int]:
    # PostgreSQL sorts for count(DISTINCT …), and hashes for this.
    return sa.select(sa.func.count()).select_from(query.distinct().subquery())


async def _scalar(connection: AsyncConnection, query: sa.Select[int]) -> int:
    return int((await connection.execute(query)).scalar_one())
