"""Routes of job classes."""

from typing import Annotated

from fastapi import Depends, Response

from app.api.dependencies import EmployeesReader, EmployeesWriter, FactoryDep, IfMatch
from app.api.list_query import QueryOf
from app.api.pages import PageOf
from app.api.problems import problems
from app.api.router import api_router
from app.api.schemas.base import Code
from app.api.schemas.job_classes import JobClassOut, JobClassPut
from app.api.schemas.queries import JobClassQuery
from app.api.versions import same_key, tagged
from app.errors import ConflictError, NotFoundError, PreconditionFailedError

BY_CODE = "/{code:path}"
"""A code may have a slash in it."""

router = api_router("job-classes", tag="Job classes")


@router.get("", summary="List job classes")
async def list_job_classes(
    caller: EmployeesReader,
    factory: FactoryDep,
    query: Annotated[JobClassQuery, Depends(QueryOf(JobClassQuery))],
) -> PageOf[JobClassOut]:
    """Job classes of the district, by default by code."""
    page = await factory.job_classes.page(caller.district, query.page)
    return PageOf[JobClassOut].model_validate(page)


@router.get(BY_CODE, summary="Read a job class", responses=problems(NotFoundError))
async def get_job_class(
    caller: EmployeesReader, factory: FactoryDep, code: Code, response: Response
) -> JobClassOut:
    """One job class, with the `ETag` of the version."""
    job_class = await factory.job_classes.get(caller.district, code)
    return tagged(response, JobClassOut.model_validate(job_class))


@router.put(
    BY_CODE,
    summary="Add or replace a job class",
    responses={
        **problems(NotFoundError, ConflictError, PreconditionFailedError),
        201: {"model": JobClassOut, "description": "Added"},
    },
)
async def put_job_class(
    caller: EmployeesWriter,
    factory: FactoryDep,
    code: Code,
    body: JobClassPut,
    response: Response,
    if_match: IfMatch = None,
) -> JobClassOut:
    """Store the job class as sent. 201 when it is a new one."""
    key = same_key("code", code, body.code)
    job_class, added = await factory.job_classes.put(
        caller.district, key, body.title, body.certification_required, if_match
    )
    response.status_code = 201 if added else 200
    return tagged(response, JobClassOut.model_validate(job_class))


@router.delete(
    BY_CODE,
    status_code=204,
    summary="Delete a job class",
    responses=problems(NotFoundError, ConflictError, PreconditionFailedError),
)
async def delete_job_class(
    caller: EmployeesWriter, factory: FactoryDep, code: Code, if_match: IfMatch = None
) -> None:
    """Remove a job class that nobody is in."""
    await factory.job_classes.delete(caller.district, code, if_match)
