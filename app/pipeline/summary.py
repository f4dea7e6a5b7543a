"""The figures of a run (I12): what `summary` shows, and the report prints."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FindingKind
from app.pipeline.difference import Difference, held_by_active
from app.pipeline.match import active, certification, employee
from app.pipeline.parse import RowCounts
from app.storage.staging import matched_row, wanted_certification, wanted_endorsement


async def summarise(
    connection: AsyncConnection,
    district_id: str,
    counts: RowCounts,
    differences: tuple[Difference, Difference],
    totals: dict[FindingKind, int],
) -> dict[str, Any]:
    """Return the summary; `rows` adds up: read = matched + other_status + rejected + not_ours."""
    certifications, endorsements = differences
    matched_rows = await _scalar(connection, sa.select(sa.func.count(matched_row.c.line.distinct())))
    holders = sa.func.count(wanted_certification.c.employee_id.distinct())
    return {
        "employees": {
            "active": await _scalar(
                connection, sa.select(sa.func.count()).select_from(employee).where(active(district_id))
            ),
            "matched": await _scalar(connection, sa.select(holders)),
            "skipped": totals[FindingKind.SKIPPED],
            "missing_certification": totals[FindingKind.MISSING],
            "expired_certification": totals[FindingKind.EXPIRED],
        },
        "certifications": {
            **certifications.summary(),
            **await _blanks(connection, wanted_certification),
            "disagreeing": totals[FindingKind.DISAGREEMENT],
        },
        "endorsements": {**endorsements.summary(), **await _blanks(connection, wanted_endorsement)},
        "rows": {
            "read": counts.read,
            "matched": matched_rows,
            "other_status": dict(sorted(counts.other_status.items())),
            "rejected": counts.rejected,
            "not_ours": counts.importable - matched_rows,
        },
        "overwritten_edits": totals[FindingKind.OVERWRITTEN],
        "other_name": totals[FindingKind.OTHER_NAME],
    }


async def shrinkage(connection: AsyncConnection, district_id: str) -> tuple[int, int]:
    """Return (active employees who hold a certification, those of them who would hold none)."""
    holder = (
        sa.select(certification.c.employee_id).where(held_by_active(certification, district_id)).distinct()
    )
    lost = sa.except_(holder, sa.select(wanted_certification.c.employee_id)).subquery()
    return (
        await _scalar(connection, sa.select(sa.func.count()).select_from(holder.subquery())),
        await _scalar(connection, sa.select(sa.func.count()).select_from(lost)),
    )


async def _blanks(connection: AsyncConnection, table: sa.Table) -> dict[str, int]:
    return {
        f"without_{name}": await _scalar(
            connection, sa.select(sa.func.count()).select_from(table).where(table.c[name].is_(None))
        )
        for name in ("issue_date", "expiration_date")
    }


async def _scalar(connection: AsyncConnection, query: sa.Select[int]) -> int:
    return int((await connection.execute(query)).scalar_one())
