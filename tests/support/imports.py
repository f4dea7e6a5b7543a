"""Imports to test: a whole service on either database, people, licence files, and what came of them."""

import csv
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.constants import EmployeeStatus
from app.factory import Factory
from app.models import Certification, District, Employee, Endorsement, ImportFile, Run, RunFinding
from app.services import run_reporting
from app.services.runs import RunOptions
from app.settings import Settings
from app.storage.sftp import SftpTarget

DISTRICT = "default"
TIMEZONE = "America/New_York"
USER = "importer"
NAME = "Curr_Lic_Eds_End_Limits_{}.csv"
COLUMNS = (
    "EducatorID",
    "LastName",
    "FirstName",
    "LicenseNumber",
    "LicenseType",
    "LicenseStatus",
    "LicenseIssueDate",
    "LicenseExpirationDate",
    "EndorsementCode",
    "EndorsementDescription",
    "EndorsementIssueDate",
    "EndorsementExpirationDate",
    "Limitation",
)
certification = Certification.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
endorsement = Endorsement.__table__  # type: ignore[attr-defined] # same
employee_table = Employee.__table__  # type: ignore[attr-defined] # same
run_table = Run.__table__  # type: ignore[attr-defined] # same
import_file = ImportFile.__table__  # type: ignore[attr-defined] # same
finding = RunFinding.__table__  # type: ignore[attr-defined] # same


@pytest.fixture
async def factory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Factory]:
    """The service with one district; its PDFs are empty, since rendering takes a second each."""
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)
    made = Factory(settings)
    await add_district(made, DISTRICT)
    yield made
    await made.close()


async def empty_pdf(_report: object, target: Path, **_: object) -> None:
    target.write_bytes(b"%PDF")  # noqa: ASYNC240 - four bytes


async def add_district(factory: Factory, district_id: str, timezone: str = TIMEZONE) -> None:
    async with factory.database.write() as session:
        session.add(District(id=district_id, name=district_id.title(), timezone=timezone))


def employee(number: str, state_id: str | None, last: str, first: str, **more: Any) -> dict[str, Any]:
    """All that `EmployeeService` takes of a person, active unless `more` says otherwise."""
    return {
        "employee_number": number,
        "state_staff_id": state_id,
        "last_name": last,
        "first_name": first,
        "middle_name": None,
        "legal_last_name": None,
        "legal_first_name": None,
        "former_last_name": None,
        "status": EmployeeStatus.ACTIVE,
        "job_class": None,
    } | more


def row(educator_id: str, last: str, first: str, number: str = "L1", **more: str) -> list[str]:
    """The cells of a row of the file: an active licence with dates and no endorsement, but for `more`."""
    values = {
        "EducatorID": educator_id,
        "LastName": last,
        "FirstName": first,
        "LicenseNumber": number,
        "LicenseType": "Level II",
        "LicenseStatus": "ACT",
        "LicenseIssueDate": "07/01/2025",
        "LicenseExpirationDate": "06/30/2099",
    }
    return [(values | more).get(column, "") for column in COLUMNS]


def write_file(
    directory: Path, rows: Iterable[Sequence[str]], stamp: str = "20260105", columns: Sequence[str] = COLUMNS
) -> Path:
    """Write a licence file; `stamp` is the date in its name."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / NAME.format(stamp)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


async def start(factory: Factory, district_id: str = DISTRICT, *, accept_shrink: bool = False) -> Run:
    return await factory.runs.start_local(
        district_id, "a test", USER, RunOptions(accept_shrink=accept_shrink)
    )


async def execute(factory: Factory, run_id: UUID, path: Path | None = None) -> None:
    """Execute a run and make its report, as a worker does, or `certsync import` with a `path`."""
    await factory.execution.execute(run_id, path)
    await factory.reporting.report(run_id)


async def run_import(
    factory: Factory, path: Path | None, district_id: str = DISTRICT, *, accept_shrink: bool = False
) -> Run:
    """Import a local file, or without `path` over SFTP, and return how the run ended."""
    run = await start(factory, district_id, accept_shrink=accept_shrink)
    if path is None:
        await write(factory, sa.update(run_table).where(run_table.c.id == run.id).values(from_disk=False))
    await execute(factory, run.id, path)
    return await factory.runs.get(district_id, run.id)


async def succeed(factory: Factory, path: Path | None, district_id: str = DISTRICT) -> Run:
    """As `run_import`, for an import that has to succeed."""
    run = await run_import(factory, path, district_id, accept_shrink=True)
    assert run.status == "succeeded", run.failure_message
    return run


async def save(factory: Factory, target: SftpTarget) -> None:
    """Save the connection of the district."""
    assert target.private_key
    fields = {**asdict(target), "private_key": target.private_key}
    await factory.connections.put(DISTRICT, "admin", fields, None)


async def select(factory: Factory, query: Any) -> list[dict[str, Any]]:
    async with factory.database.engine.connect() as connection:
        return [dict(found) for found in (await connection.execute(query)).mappings()]


async def write(factory: Factory, *statements: Any) -> None:
    async with factory.database.write() as session:
        connection = await session.connection()
        for statement in statements:
            await connection.execute(statement)


async def records(factory: Factory, district_id: str = DISTRICT) -> dict[str, list[dict[str, Any]]]:
    """Whole rows of both tables, by key; on PostgreSQL with xmin, which every write to a row changes."""
    extra: list[Any] = [] if factory.database.is_sqlite else [sa.literal_column("xmin::text").label("xmin")]
    return {
        table.name: await select(
            factory,
            sa.select(*table.c, *extra).where(table.c.district_id == district_id).order_by(table.c.id),
        )
        for table in (certification, endorsement)
    }


async def lists(factory: Factory, run: Run) -> dict[str, list[dict[str, Any]]]:
    """All findings that count for a run, by kind, in the order found."""
    query = (
        sa.select(finding.c.kind, finding.c.data)
        .where(finding.c.run_id == run.id, finding.c.attempt == run.attempt)
        .order_by(finding.c.id)
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for item in await select(factory, query):
        found.setdefault(item["kind"].value, []).append(item["data"])
    return found
