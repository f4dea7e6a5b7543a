"""Routes of employees."""

from typing import Annotated

from fastapi import Depends, Response

from app.api.dependencies import EmployeesReader, EmployeesWriter, FactoryDep, IfMatch
from app.api.idempotency import KEYED, IdempotencyDep
from app.api.list_query import QueryOf
from app.api.pages import PageOf
from app.api.problems import problems
from app.api.router import api_router
from app.api.schemas.base import Code
from app.api.schemas.employees import BulkCounts, EmployeeBulk, EmployeeOut, EmployeePut
from app.api.schemas.queries import EmployeeQuery
from app.api.versions import same_key, tagged
from app.errors import ConflictError, NotFoundError, PreconditionFailedError

BY_NUMBER = "/{employee_number:path}"
"""A number may have a slash in it. Fixed paths come first: this one matches everything."""

router = api_router("employees", tag="Employees")


@router.get("", summary="List employees")
async def list_employees(
    caller: EmployeesReader,
    factory: FactoryDep,
    query: Annotated[EmployeeQuery, Depends(QueryOf(EmployeeQuery))],
) -> PageOf[EmployeeOut]:
    """Employees of the district, by default by number."""
    page = await factory.employees.page(caller.district, query.page)
    return PageOf[EmployeeOut].model_validate(page)


@router.post("/bulk", summary="Add or replace many employees", responses={**problems(ConflictError), **KEYED})
async def put_employees(
    caller: EmployeesWriter, factory: FactoryDep, body: EmployeeBulk, idempotency: IdempotencyDep
) -> BulkCounts:
    """Store up to 10,000 employees, by number: all of them or, if one is wrong, none.

    Every fault is located in `errors`. Employees who are not sent stay as they are.
    """
    once = idempotency.once(BulkCounts.model_validate)
    items = [vars(item) for item in body.items]  # iterating over a model takes ten times as long
    return BulkCounts.model_validate(await factory.employees.put_all(caller.district, items, once))


@router.get(BY_NUMBER, summary="Read an employee", responses=problems(NotFoundError))
async def get_employee(
    caller: EmployeesReader, factory: FactoryDep, employee_number: Code, response: Response
) -> EmployeeOut:
    """One employee, with the `ETag` of the version."""
    employee = await factory.employees.get(caller.district, employee_number)
    return tagged(response, EmployeeOut.model_validate(employee))


@router.put(
    BY_NUMBER,
    summary="Add or replace an employee",
    responses={
        **problems(NotFoundError, ConflictError, PreconditionFailedError),
        201: {"model": EmployeeOut, "description": "Added"},
    },
)
async def put_employee(
    caller: EmployeesWriter,
    factory: FactoryDep,
    employee_number: Code,
    body: EmployeePut,
    response: Response,
    if_match: IfMatch = None,
) -> EmployeeOut:
    """Store the employee as sent: what the body leaves out becomes null. 201 when it is a new one."""
    number = same_key("employee_number", employee_number, body.employee_number)
    fields = {**body.model_dump(), "employee_number": number}
    employee, added = await factory.employees.put(caller.district, fields, if_match)
    response.status_code = 201 if added else 200
    return tagged(response, EmployeeOut.model_validate(employee))


@router.delete(
    BY_NUMBER,
    status_code=204,
    summary="Delete an employee",
    responses=problems(NotFoundError, ConflictError, PreconditionFailedError),
)
async def delete_employee(
    caller: EmployeesWriter, factory: FactoryDep, employee_number: Code, if_match: IfMatch = None
) -> None:
    """Remove an employee who holds no certification. One who left the district is `terminated` instead."""
    await factory.employees.delete(caller.district, employee_number, if_match)
