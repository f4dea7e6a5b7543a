"""Tasks: imports that are set up, with the schedule they follow (I7)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import AuditAction, AuditRecord, TaskStatus
from app.database import Database
from app.errors import FieldError, NotFoundError, ValidationFailedError
from app.models import Task
from app.models.base import utc_now
from app.services.idempotency import NO_KEY, Once
from app.services.preconditions import check_if_match
from app.services.schedule import reschedule
from app.storage import audit_events, districts, scheduled_runs, tasks
from app.storage.audit_events import Change, difference
from app.storage.pages import Page, PageRequest
from app.storage.versions import next_version

REQUIRED_WHEN_ACTIVE = ("scheduled_start_date", "time", "recurrence")
SCHEDULE = ("status", *REQUIRED_WHEN_ACTIVE, "timezone")


class TaskService:
    """The use cases of tasks; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
        """Return a page of tasks, the newest first."""
        async with self._database.look() as connection:
            return await tasks.page(connection, district_id, request)

    async def get(self, district_id: str, task_id: UUID) -> Task:
        """Return a task; raises NotFoundError."""
        async with self._database.read() as session:
            return await _find(session, district_id, task_id)

    async def create(
        self, district_id: str, user: str, fields: Mapping[str, Any], once: Once = NO_KEY
    ) -> Task:
        """Add a task, scheduled at once if it is active; `fields` are those of api.md that a caller gives.

        Raises ValidationFailedError when it is active without a whole schedule.
        """
        async with self._database.write() as session:
            await once.begin(session)
            given = await _with_time_zone(session, district_id, fields)
            task = Task(
                district_id=district_id,
                created_by=user,
                updated_by=user,
                scheduled_by=user,
                version=0,
                **given,
            )
            await _store(session, task)
            await reschedule(session, task, utc_now())
            await _audit(session, task, AuditAction.ADDED, None, _content(task))
            await once.end(session, task)
            return task

    async def change(
        self, district_id: str, user: str, task_id: UUID, fields: Mapping[str, Any], if_match: str | None
    ) -> Task:
        """Change the given fields of a task; what changes nothing is not written.

        A change of its schedule makes the coming runs the user's.

        Raises NotFoundError, PreconditionFailedError, and ValidationFailedError when it would be active
        without a whole schedule.
        """
        async with self._database.write() as session:
            task = await _find(session, district_id, task_id, to_change=True)
            check_if_match(if_match, task.version)
            now = utc_now()  # after the wait for other writers
            before, stored = schedule_of(task), _content(task)
            values = await _with_time_zone(session, district_id, fields)
            if all(getattr(task, name) == value for name, value in values.items()):
                return task
            task.sqlmodel_update(values)
            task.updated_by, task.updated_at = user, now
            await _store(session, task)
            await _audit(session, task, AuditAction.CHANGED, *difference(stored, _content(task)))
            if schedule_of(task) != before:
                task.scheduled_by = user
                await reschedule(session, task, now)
            else:
                await scheduled_runs.rename_waiting(await session.connection(), task)
            return task

    async def delete(self, district_id: str, task_id: UUID, if_match: str | None) -> None:
        """Remove a task and the run of it that waits for its time; the others stay.

        Raises NotFoundError and PreconditionFailedError.
        """
        async with self._database.write() as session:
            task = await _find(session, district_id, task_id, to_change=True)
            check_if_match(if_match, task.version)
            await scheduled_runs.remove_waiting(await session.connection(), task)
            await session.delete(task)
            await _audit(session, task, AuditAction.DELETED, _content(task), None)


def schedule_of(task: Task) -> tuple[Any, ...]:
    """Return what decides when a task is due."""
    return tuple(getattr(task, name) for name in SCHEDULE)


def _content(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in ("description", *SCHEDULE)}


async def _audit(
    session: AsyncSession,
    task: Task,
    action: AuditAction,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    change = Change(action, AuditRecord.TASK, task.id, before, after)
    await audit_events.record(await session.connection(), task.district_id, change)


async def _find(session: AsyncSession, district_id: str, task_id: UUID, *, to_change: bool = False) -> Task:
    task = await tasks.find(session, district_id, task_id, to_change=to_change)
    if task is None:
        raise NotFoundError(f"There is no task {task_id} in your district.")
    return task


async def _with_time_zone(
    session: AsyncSession, district_id: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields with the district's time zone where they have an empty one."""
    if fields.get("timezone", "") is not None:
        return dict(fields)
    district = await districts.find(session, district_id)
    if district is None:
        raise NotFoundError(f"There is no district {district_id}.")
    return {**fields, "timezone": district.timezone}


async def _store(session: AsyncSession, task: Task) -> None:
    """Write the task with a new version, so that runs can refer to it."""
    _check_schedule(task)
    task.version = await next_version(await session.connection())
    session.add(task)
    await session.flush()


def _check_schedule(task: Task) -> None:
    missing = [name for name in REQUIRED_WHEN_ACTIVE if not getattr(task, name)]
    if task.status is TaskStatus.ACTIVE and missing:
        text = "is required while the task is active"
        raise ValidationFailedError(
            f"An active task needs {', '.join(missing)}. Give what is missing, or make it inactive.",
            errors=[FieldError(("body", name), text, "missing") for name in missing],
        )
