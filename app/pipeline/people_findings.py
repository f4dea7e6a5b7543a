"""The report's lists of people: skipped, under another name, without a certification, expired (I12)."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import JobClass
from app.pipeline.keys import name_part
from app.pipeline.match import UNMATCHED, active, employee
from app.storage.row_stream import Row, grouped_rows, rows
from app.storage.staging import staged_person, unmatched, wanted_certification

CANDIDATES = 5
"""Most candidates listed for a skipped employee (I12)."""

job_class = JobClass.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

# The names that are compared: the legal one where there is one (I3).
LAST_NAME = sa.func.coalesce(employee.c.legal_last_name, employee.c.last_name).label("last_name")
FIRST_NAME = sa.func.coalesce(employee.c.legal_first_name, employee.c.first_name).label("first_name")
WHO = (employee.c.employee_number, LAST_NAME, FIRST_NAME)


async def skipped(connection: AsyncConnection, district_id: str) -> AsyncIterator[Row]:
    """Yield each active employee whom nobody in the file matches but somebody resembles.

    Resembles: the same educator id under another name, or the same name under another id, or none on our
    side. At most `CANDIDATES` are listed, those of the same id first; `more_candidates` counts the rest.
    """
    by_id = _candidates(district_id, staged_person.c.educator_key, employee.c.educator_key, "id")
    by_name = _candidates(district_id, staged_person.c.name_key, employee.c.name_key, "name")
    query = sa.union_all(by_id, by_name).order_by("employee_number", "basis", "place")
    async for group in grouped_rows(connection, query, "employee_number"):
        first = group[0]
        total = sum({row["basis"]: row["total"] for row in group}.values())
        found = [_candidate(row) for row in group]
        named = {field for candidate in found for field in candidate["disagrees"]}
        candidates = found[:CANDIDATES]
        yield {
            "employee_number": first["employee_number"],
            "state_staff_id": first["state_staff_id"],
            "last_name": first["last_name"],
            "first_name": first["first_name"],
            "disagrees": [field for field in ("educator_id", "last_name", "first_name") if field in named],
            "candidates": candidates,
            "more_candidates": total - len(candidates),
        }


def _candidates(
    district_id: str, theirs: sa.ColumnElement[str], ours: sa.ColumnElement[str], basis: str
) -> sa.Select[Any]:
    # Ranks were computed once for the whole file: joining only the first few of those who share an id or
    # a name bounds the pairs, however common the name.
    person = staged_person.c
    place, total = (
        (person.id_rank, person.id_total) if basis == "id" else (person.name_rank, person.name_total)
    )
    return (
        sa.select(
            *WHO,
            employee.c.state_staff_id,
            person.educator_id.label("file_educator_id"),
            person.last_name.label("file_last_name"),
            person.first_name.label("file_first_name"),
            sa.literal(basis).label("basis"),
            place.label("place"),
            total.label("total"),
        )
        .join_from(employee, staged_person, theirs == ours)
        .where(active(district_id), UNMATCHED, place <= CANDIDATES)
    )


def _candidate(row: dict[str, Any]) -> dict[str, Any]:
    names = [
        field
        for field in ("last_name", "first_name")
        if name_part(row[field]) != name_part(row[f"file_{field}"])
    ]
    return {
        "educator_id": row["file_educator_id"],
        "last_name": row["file_last_name"],
        "first_name": row["file_first_name"],
        "disagrees": names if row["basis"] == "id" else ["educator_id"],
    }


async def other_names(connection: AsyncConnection, district_id: str) -> AsyncIterator[Row]:
    """Yield rows under another name with the educator id of an employee who was matched.

    A licence under a former name is not imported, but must not vanish unsaid.
    """
    query = (
        sa.select(
            *WHO,
            staged_person.c.educator_id,
            staged_person.c.last_name.label("file_last_name"),
            staged_person.c.first_name.label("file_first_name"),
            staged_person.c.rows,
        )
        .join_from(employee, staged_person, staged_person.c.educator_key == employee.c.educator_key)
        .where(
            active(district_id), ~UNMATCHED, staged_person.c.name_key.is_distinct_from(employee.c.name_key)
        )
        .order_by(employee.c.employee_number, staged_person.c.id_rank)
    )
    async for item in rows(connection, query):
        yield item


async def missing(connection: AsyncConnection, district_id: str) -> AsyncIterator[Row]:
    """Yield each employee whose job class requires a certification and who will hold none."""
    query = (
        sa.select(*WHO, employee.c.job_class)
        .join_from(unmatched, job_class, job_class.c.code == unmatched.c.job_class)
        .join(employee, employee.c.id == unmatched.c.employee_id)
        .where(job_class.c.district_id == district_id, job_class.c.certification_required)
        .order_by(employee.c.employee_number)
    )
    async for item in rows(connection, query):
        yield item


async def expired(connection: AsyncConnection, today: date) -> AsyncIterator[Row]:
    """Yield each employee with certifications that expired before `today`, and these."""
    query = (
        sa.select(
            *WHO,
            wanted_certification.c.license_number,
            wanted_certification.c.license_type,
            wanted_certification.c.expiration_date,
        )
        .join_from(wanted_certification, employee, employee.c.id == wanted_certification.c.employee_id)
        .where(wanted_certification.c.expiration_date < today)
        .order_by(
            employee.c.employee_number,
            wanted_certification.c.expiration_date.desc(),
            wanted_certification.c.license_number,
        )
    )
    async for group in grouped_rows(connection, query, "employee_number"):
        yield {
            **{name: group[0][name] for name in ("employee_number", "last_name", "first_name")},
            "certifications": [
                {
                    "license_number": row["license_number"],
                    "license_type": row["license_type"],
                    "expiration_date": row["expiration_date"].isoformat(),
                }
                for row in group
            ],
        }
