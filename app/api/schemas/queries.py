"""Queries of lists: the parameters that each list can be filtered by, all of which must hold."""

from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.list_query import repeatable
from app.api.pages import PageQuery, SortOf
from app.api.schemas.base import Code, Day, Instant, Minute, Name
from app.api.schemas.tasks import DayOfWeek
from app.constants import (
    AuditAction,
    AuditInterface,
    AuditRecord,
    ConnectionAction,
    ConnectionPhase,
    EmployeeStatus,
    FileState,
    RecordSource,
    RunKind,
    RunPhase,
    RunStatus,
    RunTrigger,
    TaskStatus,
)
from app.storage import (
    audit_events,
    connection_events,
    import_files,
    records,
    roster,
    runs,
    service_tokens,
    tasks,
)

SORT = "A field, ascending, or `-field`, descending. Nulls come last in ascending order."

Value = TypeVar("Value")


AnyOf = Annotated[list[Value], Field(min_length=1, max_length=50)]
"""A parameter that may be repeated: one of the values."""


def _exact(what: str) -> Any:
    return Field(None, description=f"Only with this {what}.")


def _any(what: str) -> Any:
    return Field(None, description=f"Only with this {what}; repeat it for any of several.")


def _part(what: str) -> Any:
    return Field(None, description=f"Only with this text in the {what}, in whatever case.")


def _from(what: str) -> Any:
    return Field(None, description=f"Only with this {what} or a later one.")


def _to(what: str) -> Any:
    return Field(None, description=f"Only with this {what} or an earlier one.")


class RunQuery(PageQuery):
    """Query of the list of runs."""

    sort: Annotated[str, SortOf(runs.LISTING)] = Field(runs.LISTING.default, description=SORT)
    task_id: UUID | None = _exact("task")
    task_description: Name | None = _part("task's description")
    kind: AnyOf[RunKind] | None = _any("kind")
    trigger: AnyOf[RunTrigger] | None = _any("trigger")
    status: AnyOf[RunStatus] | None = _any("status")
    phase: AnyOf[RunPhase] | None = _any("phase")
    run_by: Name | None = _exact("user id")
    late: bool | None = Field(None, description="Only those that began late, or only those that did not.")
    report: bool | None = Field(None, description="Only those with, or without, a report as PDF.")
    progress: int | None = Field(None, ge=0, le=100, description="Only with this progress, in percent.")
    file_name: Name | None = _part("name of the file")
    file_datestamp: Name | None = _part("datestamp of the file")
    file_sha256: Name | None = _exact("SHA-256 of the file")
    file_reused: bool | None = Field(None, description="Only those with a retained file, or only others.")
    failure_code: Name | None = _exact("code of failure")
    scheduled_from: Instant | None = _from("scheduled start")
    scheduled_to: Instant | None = _to("scheduled start")
    started_from: Instant | None = _from("actual start")
    started_to: Instant | None = _to("actual start")
    ended_from: Instant | None = _from("end")
    ended_to: Instant | None = _to("end")


class TaskQuery(PageQuery):
    """Query of the list of tasks."""

    sort: Annotated[str, SortOf(tasks.LISTING)] = Field(tasks.LISTING.default, description=SORT)
    description: Name | None = _part("description")
    status: AnyOf[TaskStatus] | None = _any("status")
    time: Minute | None = _exact("local time of day")
    timezone: Name | None = _exact("time zone")
    recurrence: DayOfWeek | None = Field(None, description="Only those that run on this day of the week.")
    created_by: Name | None = _exact("user id")
    updated_by: Name | None = _exact("user id")
    scheduled_start_date_from: Day | None = _from("start date")
    scheduled_start_date_to: Day | None = _to("start date")
    next_run_from: Instant | None = _from("next run")
    next_run_to: Instant | None = _to("next run")
    created_from: Instant | None = _from("time of creation")
    created_to: Instant | None = _to("time of creation")
    updated_from: Instant | None = _from("time of the last change")
    updated_to: Instant | None = _to("time of the last change")


class RecordQuery(PageQuery):
    """What the queries of certifications and endorsements have in common."""

    employee_number: Code | None = _exact("employee")
    source: AnyOf[RecordSource] | None = _any("source")
    run_id: UUID | None = Field(None, description="Only those that this import wrote last.")
    updated_by: Name | None = _exact("user id")
    issued_from: Day | None = _from("issue date")
    issued_to: Day | None = _to("issue date")
    expires_from: Day | None = _from("expiration date")
    expires_to: Day | None = _to("expiration date")
    updated_from: Instant | None = _from("time of the last change")
    updated_to: Instant | None = _to("time of the last change")


class CertificationQuery(RecordQuery):
    """Query of the list of certifications."""

    sort: Annotated[str, SortOf(records.CERTIFICATIONS)] = Field(
        records.CERTIFICATIONS.default, description=SORT
    )
    license_number: Name | None = _exact("licence number")
    license_type: Name | None = _exact("licence type")
    status: AnyOf[Code] | None = _any("status")


class EndorsementQuery(RecordQuery):
    """Query of the list of endorsements."""

    sort: Annotated[str, SortOf(records.ENDORSEMENTS)] = Field(records.ENDORSEMENTS.default, description=SORT)
    certification_id: UUID | None = _exact("certification")
    code: AnyOf[Name] | None = _any("code")
    description: Name | None = _part("description")
    limitation: Name | None = _part("limitation")
    primary: bool | None = Field(None, description="Only employees' main endorsements, or only the others.")


class EmployeeQuery(PageQuery):
    """Query of the list of employees."""

    sort: Annotated[str, SortOf(roster.EMPLOYEES)] = Field(roster.EMPLOYEES.default, description=SORT)
    employee_number: Code | None = _exact("number")
    state_staff_id: Code | None = _exact("id, as it is stored")
    last_name: Name | None = _part("last name")
    first_name: Name | None = _part("first name")
    middle_name: Name | None = _part("middle name")
    legal_last_name: Name | None = _part("legal last name")
    legal_first_name: Name | None = _part("legal first name")
    former_last_name: Name | None = _part("former last name")
    status: AnyOf[EmployeeStatus] | None = _any("status")
    job_class: Code | None = _exact("job class")


class JobClassQuery(PageQuery):
    """Query of the list of job classes."""

    sort: Annotated[str, SortOf(roster.JOB_CLASSES)] = Field(roster.JOB_CLASSES.default, description=SORT)
    code: Code | None = _exact("code")
    title: Name | None = _part("title")
    certification_required: bool | None = Field(
        None, description="Only those that require a certification, or only the others."
    )


class ConnectionEventFilters(BaseModel):
    """What connection events are filtered by. Host and user are encrypted: there is no filter by them."""

    model_config = ConfigDict(extra="forbid")

    port: Annotated[int, Field(ge=1, le=65535)] | None = _exact("port")
    action: AnyOf[ConnectionAction] | None = _any("action")
    by: Name | None = _exact("user")
    phase: AnyOf[ConnectionPhase] | None = _any("phase")
    outcome: Literal["success", "failure"] | None = _exact("outcome")
    failure_code: Name | None = _exact("code of failure")
    run_id: UUID | None = _exact("run")
    at_from: Instant | None = _from("time")
    at_to: Instant | None = _to("time")


class ConnectionEventQuery(ConnectionEventFilters, PageQuery):
    """Query of the list of attempts to connect."""

    sort: Annotated[str, SortOf(connection_events.LISTING)] = Field(
        connection_events.LISTING.default, description=SORT
    )


class AuditQuery(PageQuery):
    """Query of the audit trail."""

    sort: Annotated[str, SortOf(audit_events.LISTING)] = Field(audit_events.LISTING.default, description=SORT)
    actor: Name | None = _exact("user id")
    token_id: UUID | None = _exact("service token")
    interface: AnyOf[AuditInterface] | None = _any("interface")
    action: AnyOf[AuditAction] | None = _any("action")
    record_type: AnyOf[AuditRecord] | None = _any("kind of record")
    record_id: Name | None = _exact("record")
    employee_number: Code | None = _exact("employee")
    run_id: UUID | None = _exact("run")
    request_id: Code | None = _exact("request")
    at_from: Instant | None = _from("time")
    at_to: Instant | None = _to("time")


class ImportFileQuery(PageQuery):
    """Query of the list of files."""

    sort: Annotated[str, SortOf(import_files.LISTING)] = Field(import_files.LISTING.default, description=SORT)
    state: FileState = Field(FileState.RETAINED, description="`quarantined` shows files that were refused.")
    name: Name | None = _part("name")
    sha256: Code | None = _exact("SHA-256, in hexadecimal")
    run_id: UUID | None = Field(None, description="Only those that this run fetched.")
    fetched_from: Instant | None = _from("time of fetching")
    fetched_to: Instant | None = _to("time of fetching")


class ServiceTokenQuery(PageQuery):
    """Query of the list of service tokens."""

    sort: Annotated[str, SortOf(service_tokens.LISTING)] = Field(
        service_tokens.LISTING.default, description=SORT
    )
    name: Name | None = _part("name")
    created_by: Name | None = _exact("user who made it")
    created_from: Instant | None = _from("time of its making")
    created_to: Instant | None = _to("time of its making")
    expires_from: Instant | None = _from("end")
    expires_to: Instant | None = _to("end")


REPEATABLE = frozenset[str]().union(
    *map(
        repeatable,
        (
            RunQuery,
            TaskQuery,
            AuditQuery,
            CertificationQuery,
            EndorsementQuery,
            EmployeeQuery,
            JobClassQuery,
            ConnectionEventQuery,
            ImportFileQuery,
            ServiceTokenQuery,
        ),
    )
)
"""Parameters that may be given several times."""
