"""Queries on employees and job classes, a district's roster. One writer of a roster at a time."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.database import take_guard
from app.models import Certification, Employee, JobClass
from app.storage import districts
from app.storage.filters import any_of, containing, exact, named
from app.storage.many_rows import among, insert_rows
from app.storage.pages import OF_DISTRICT, Listing, Page, PageRequest, fetch_page

employee = Employee.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
job_class = JobClass.__table__  # type: ignore[attr-defined] # same

_NAMES = (
    employee.c.last_name,
    employee.c.first_name,
    employee.c.middle_name,
    employee.c.legal_last_name,
    employee.c.legal_first_name,
    employee.c.former_last_name,
)
_CODES = (employee.c.employee_number, employee.c.state_staff_id, employee.c.job_class)
EMPLOYEES = Listing(
    name="employees",
    rows=sa.select(employee).where(employee.c.district_id == OF_DISTRICT),
    key=(employee.c.employee_number,),
    default="employee_number",
    sortable=named(*_CODES, *_NAMES, employee.c.status),
    filters={**exact(*_CODES), **containing(*_NAMES), **any_of(employee.c.status)},
    searched=(*_CODES, *_NAMES, employee.c.status),
)
JOB_CLASSES = Listing(
    name="job-classes",
    rows=sa.select(job_class).where(job_class.c.district_id == OF_DISTRICT),
    key=(job_class.c.code,),
    default="code",
    sortable=named(job_class.c.code, job_class.c.title, job_class.c.certification_required),
    filters={**exact(job_class.c.code, job_class.c.certification_required), **containing(job_class.c.title)},
    searched=(job_class.c.code, job_class.c.title),
)


async def open_roster(session: AsyncSession, district_id: str) -> None:
    """Wait for the district's replace, then for its other roster writers, and keep both out until the end.

    One at a time, since two that upsert the same employees in another order would stop each other.
    """
    await take_guard(await session.connection(), district_id, shared=True)
    await districts.lock(session, district_id)


async def employees_page(
    connection: AsyncConnection, district_id: str, request: PageRequest
) -> Page[sa.Row[Any]]:
    """Return a page of employees."""
    return await fetch_page(connection, EMPLOYEES, district_id, request)


async def find_employee(session: AsyncSession, district_id: str, number: str) -> Employee | None:
    """Return the employee of this number, or None."""
    query: Any = sa.select(Employee).where(
        employee.c.district_id == district_id, employee.c.employee_number == number
    )
    found: Employee | None = (await session.exec(query)).scalar_one_or_none()
    return found


async def employees_by_number(
    session: AsyncSession, district_id: str, numbers: Sequence[str], names: Sequence[str]
) -> dict[str, tuple[int, tuple[Any, ...]]]:
    """Return (id, the columns of these names) of those employees that exist, by number."""
    connection = await session.connection()
    columns = (employee.c[name] for name in names)
    query = sa.select(employee.c.employee_number, employee.c.id, *columns).where(
        employee.c.district_id == district_id, among(connection, employee.c.employee_number, numbers)
    )
    return {row[0]: (row[1], row[2:]) for row in (await connection.execute(query)).all()}


async def insert_employees(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """Add employees; `rows` are all columns but `id`."""
    await insert_rows(await session.connection(), employee, rows)


async def update_employees(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """Change employees; `rows` are all columns, and `id` says whose."""
    if not rows:
        return
    columns: dict[str, Any] = {name: sa.bindparam(name) for name in rows[0] if name != "id"}
    statement = sa.update(employee).where(employee.c.id == sa.bindparam("row_id")).values(columns)
    await (await session.connection()).execute(
        statement, [{**{name: row[name] for name in columns}, "row_id": row["id"]} for row in rows]
    )


async def holds_certifications(session: AsyncSession, employee_id: int | None) -> bool:
    """Tell whether the employee holds any certification."""
    query: Any = sa.select(sa.exists().where(Certification.employee_id == employee_id))  # type: ignore[arg-type] # SQLModel types columns as values
    return bool((await session.exec(query)).scalar_one())


async def add_job_classes(
    session: AsyncSession, district_id: str, codes: Iterable[str], version: int
) -> list[str]:
    """Create those job classes that do not exist, without requirements, and return their codes."""
    known: Any = sa.select(job_class.c.code).where(job_class.c.district_id == district_id)
    missing = sorted(set(codes) - set((await session.exec(known)).scalars()))
    if missing:
        rows = [
            {
                "district_id": district_id,
                "code": code,
                "title": "",
                "certification_required": False,
                "version": version,
            }
            for code in missing
        ]
        await (await session.connection()).execute(sa.insert(job_class), rows)
    return missing


async def job_classes_page(
    connection: AsyncConnection, district_id: str, request: PageRequest
) -> Page[sa.Row[Any]]:
    """Return a page of job classes."""
    return await fetch_page(connection, JOB_CLASSES, district_id, request)


async def find_job_class(session: AsyncSession, district_id: str, code: str) -> JobClass | None:
    """Return the job class of this code, or None."""
    return await session.get(JobClass, (district_id, code))


async def employees_in(session: AsyncSession, district_id: str, code: str) -> int:
    """Return how many employees are in the job class."""
    query: Any = (
        sa.select(sa.func.count())
        .select_from(employee)
        .where(employee.c.district_id == district_id, employee.c.job_class == code)
    )
    return int((await session.exec(query)).scalar_one())
