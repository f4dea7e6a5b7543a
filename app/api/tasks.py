"""Routes of tasks."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from app.api.dependencies import FactoryDep, IfMatch, TasksReader, TasksWriter
from app.api.idempotency import KEYED, IdempotencyDep
from app.api.list_query import QueryOf
from app.api.pages import PageOf
from app.api.problems import problems
from app.api.router import api_router
from app.api.schemas.queries import TaskQuery
from app.api.schemas.tasks import TaskCreate, TaskOut, TaskPatch
from app.api.versions import tagged
from app.errors import NotFoundError, PreconditionFailedError
from app.models import Task

router = api_router("tasks", tag="Tasks")


@router.get("", summary="List tasks")
async def list_tasks(
    caller: TasksReader, factory: FactoryDep, query: Annotated[TaskQuery, Depends(QueryOf(TaskQuery))]
) -> PageOf[TaskOut]:
    """Tasks of the district, by default the newest first."""
    page = await factory.tasks.page(caller.district, query.page)
    return PageOf[TaskOut].model_validate(page)


@router.post("", status_code=201, summary="Add a task", responses=KEYED)
async def create_task(
    caller: TasksWriter,
    factory: FactoryDep,
    body: TaskCreate,
    response: Response,
    idempotency: IdempotencyDep,
) -> TaskOut:
    """Set an import up. `Location` is its address. An inactive task runs only when it is told to."""

    def answer(task: Task) -> TaskOut:
        response.headers["Location"] = f"{router.prefix}/{task.id}"
        return tagged(response, TaskOut.model_validate(task))

    once = idempotency.once(answer)
    return answer(await factory.tasks.create(caller.district, caller.user, body.model_dump(), once))


@router.get("/{task_id}", summary="Read a task", responses=problems(NotFoundError))
async def get_task(caller: TasksReader, factory: FactoryDep, task_id: UUID, response: Response) -> TaskOut:
    """One task, with the `ETag` of the version."""
    task = await factory.tasks.get(caller.district, task_id)
    return tagged(response, TaskOut.model_validate(task))


@router.patch(
    "/{task_id}", summary="Change a task", responses=problems(NotFoundError, PreconditionFailedError)
)
async def change_task(
    caller: TasksWriter,
    factory: FactoryDep,
    task_id: UUID,
    body: TaskPatch,
    response: Response,
    if_match: IfMatch = None,
) -> TaskOut:
    """Change the fields that are sent; null clears one. The whole must make sense afterwards."""
    fields = body.model_dump(exclude_unset=True)
    task = await factory.tasks.change(caller.district, caller.user, task_id, fields, if_match)
    return tagged(response, TaskOut.model_validate(task))


@router.delete(
    "/{task_id}",
    status_code=204,
    summary="Delete a task",
    responses=problems(NotFoundError, PreconditionFailedError),
)
async def delete_task(
    caller: TasksWriter, factory: FactoryDep, task_id: UUID, if_match: IfMatch = None
) -> None:
    """Remove a task. Its runs and their reports stay."""
    await factory.tasks.delete(caller.district, task_id, if_match)
