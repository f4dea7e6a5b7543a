"""The requests of the part `api`, and the district that they are about."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.constants import DEFAULT_DISTRICT, RunKind, RunStatus, RunTrigger
from app.database import Database
from app.models import Run
from app.models.base import utc_now
from app.reach import within_district
from app.settings import Settings

RUNS = 100_000
BULK = 10_000
CHUNK = 5_000
FIRST_RUN = datetime(2024, 1, 1, tzinfo=UTC)
CERTIFICATIONS = "GET /certifications of one employee"
RUN_PAGE = "GET /runs, 50 of 100,000, two filters"
PATCH = "PATCH /certifications/{id}"
BULK_NEW = "POST /employees/bulk, 10,000 new"
BULK_AGAIN = "POST /employees/bulk, the same again"
RUN_PATH = "/api/v1/runs?status=failed&trigger=schedule&limit=50"
BULK_PATH = "/api/v1/employees/bulk"
ANY_CERTIFICATION = "/api/v1/certifications?limit=1"


def certifications_path(number: str) -> str:
    """Return the address of what an employee holds."""
    return f"/api/v1/certifications?employee_number={number}"


def changes() -> Iterator[dict[str, str]]:
    """Yield bodies of a PATCH, no two of which in a row are equal: what changes nothing is not written."""
    number = 0
    while True:
        number += 1
        yield {"status": f"S{number}"}


def bulk(number: int) -> dict[str, Any]:
    """Return the employees of the bulk request of this number; no other one has any of them."""
    chance = random.Random(number)
    names = [
        f"{first}{last}" for first in ("Mar", "Con", "Bel", "Sto") for last in ("sh", "nor", "ton", "ley")
    ]
    return {
        "items": [
            {
                "employee_number": f"B{number}-{each}",
                "state_staff_id": f"{number:04}{each:06}",
                "last_name": chance.choice(names),
                "first_name": chance.choice(names),
                "middle_name": None,
                "legal_last_name": None,
                "legal_first_name": chance.choice(names),
                "former_last_name": None,
                "status": "active",
                "job_class": "TEACHER",
            }
            for each in range(BULK)
        ]
    }


async def add_runs(settings: Settings) -> None:
    """Add the runs of years, one in ten failed, three in four by schedule; count afresh what tables hold."""
    database = Database(settings)
    try:
        with within_district(DEFAULT_DISTRICT):
            for start in range(0, RUNS, CHUNK):
                async with database.write() as session:
                    rows = [_run(number) for number in range(start, start + CHUNK)]
                    await (await session.connection()).execute(sa.insert(Run), rows)
            async with database.write() as session:
                await (await session.connection()).execute(sa.text("ANALYZE"))
    finally:
        await database.close()


def _run(number: int) -> dict[str, Any]:
    due = FIRST_RUN + timedelta(minutes=10 * number)
    failed = number % 10 == 0
    return {
        "id": UUID(int=number + 1),
        "district_id": DEFAULT_DISTRICT,
        "task_description": f"Nightly import {number % 7}",
        "kind": RunKind.IMPORT,
        "trigger": RunTrigger.SCHEDULE if number % 4 or number % 8 == 0 else RunTrigger.RUN_NOW,
        "status": RunStatus.FAILED if failed else RunStatus.SUCCEEDED,
        "progress": 100,
        "scheduled_start": due,
        "actual_start": due,
        "ended_at": due + timedelta(seconds=20),
        "run_by": "benchmark",
        "late": False,
        "accept_shrink": False,
        "from_disk": False,
        "attempt": 1,
        "file_name": "alis_20260101.txt",
        "file_sha256": f"{number:064x}",
        "file_size": 7_000_000,
        "file_reused": False,
        "summary": None if failed else {f"figure_{each}": number + each for each in range(19)},
        "failure_code": "sftp_unreachable" if failed else None,
        "failure_message": "The state's server did not answer." if failed else None,
        "report_tries": 0,
        "created_at": utc_now(),
    }
