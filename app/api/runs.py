"""Runs: start, follow, and read what they found."""

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Response
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse

from app.api.dependencies import FactoryDep, RunsReader, RunsStarter
from app.api.downloads import attachment, download
from app.api.idempotency import KEYED, IdempotencyDep
from app.api.list_query import QueryOf
from app.api.pages import PageOf
from app.api.problems import problems
from app.api.router import BASE, api_router
from app.api.run_exports import changes_csv, rejected_csv, report_json, skipped_csv
from app.api.schemas.queries import RunQuery
from app.api.schemas.runs import RunOut, RunRequest, shown
from app.errors import (
    ExpiredError,
    NotFoundError,
    ReportNotReadyError,
    RunInProgressError,
    RunNotCancellableError,
)
from app.models import Run
from app.services.runs import RunOptions

router = api_router("", tag="Runs")


Responses = dict[int | str, dict[str, Any]]


def media(media_type: str, schema: dict[str, Any] | None = None) -> Responses:
    """Return the `responses=` of a route that answers a part of a report, or 404 until there is one."""
    content = {media_type: {"schema": schema or {"type": "string"}}}
    return {
        200: {"description": "The file.", "content": content},
        **problems(NotFoundError, ReportNotReadyError, ExpiredError),
    }


@router.post(
    "/tasks/{task_id}/run",
    status_code=202,
    summary="Run a task now",
    responses={**problems(NotFoundError, RunInProgressError), **KEYED},
)
async def run_task_now(
    caller: RunsStarter,
    factory: FactoryDep,
    task_id: UUID,
    response: Response,
    idempotency: IdempotencyDep,
    body: RunRequest | None = None,
) -> RunOut:
    """Start a run without waiting for the schedule, of an inactive task too.

    A preview reports what an import would add, change and remove, and writes none of it.
    Answers at once; follow the run at `Location`. One run of a district at a time: while one is in
    progress, or due and waiting, the answer is 409 with its `run_id`.
    """
    asked = body or RunRequest()
    options = RunOptions(kind=asked.kind, accept_shrink=asked.accept_shrink)

    def answer(run: Run) -> RunOut:
        response.headers["Location"] = f"{BASE}/runs/{run.id}"
        return RunOut.of(run)

    once = idempotency.once(answer)
    return answer(await factory.runs.start(caller.district, task_id, caller.user, options, once))


@router.get("/runs", summary="List runs")
async def list_runs(
    caller: RunsReader, factory: FactoryDep, query: Annotated[RunQuery, Depends(QueryOf(RunQuery))]
) -> PageOf[RunOut]:
    """Runs of the district, by default the one with the latest scheduled start first."""
    page = await factory.runs.page(caller.district, query.page)
    return PageOf[RunOut].model_validate(
        {"items": [shown(run) for run in page.items], "next_cursor": page.next_cursor}
    )


@router.get("/runs/{run_id}", summary="Get a run", responses=problems(NotFoundError))
async def get_run(caller: RunsReader, factory: FactoryDep, run_id: UUID) -> RunOut:
    """Return a run with its phase, progress and figures; ask again to follow it."""
    return RunOut.of(await factory.runs.get(caller.district, run_id))


@router.post(
    "/runs/{run_id}/cancel",
    status_code=202,
    summary="Cancel a run",
    responses={**problems(NotFoundError, RunNotCancellableError), **KEYED},
)
async def cancel_run(
    caller: RunsStarter, factory: FactoryDep, run_id: UUID, idempotency: IdempotencyDep
) -> RunOut:
    """End a run that waits, or that has not begun to replace records. Nothing of the district has changed.

    What was under way stops within a second or two. Of a scheduled run only this occurrence is left out.
    """
    return RunOut.of(await factory.runs.cancel(caller.district, run_id, idempotency.once(RunOut.of)))


@router.get(
    "/runs/{run_id}/report.pdf",
    summary="Report as PDF",
    response_class=FileResponse,
    responses=media("application/pdf", {"type": "string", "format": "binary"}),
)
async def get_report_pdf(caller: RunsReader, factory: FactoryDep, run_id: UUID) -> Response:
    """Return the summary report; it may come a little after the run ends."""
    pdf, name = await factory.runs.pdf(caller.district, run_id), f"import-report-{run_id}.pdf"
    if isinstance(pdf, Path):
        return FileResponse(pdf, media_type="application/pdf", filename=name)
    answer = download(pdf.chunks, "application/pdf", name)
    answer.headers["Content-Length"] = str(pdf.size)
    return answer


@router.get(
    "/runs/{run_id}/report.json",
    summary="Report as JSON",
    response_class=StreamingResponse,
    responses=media("application/json", {"type": "object"}),
)
async def get_report_json(caller: RunsReader, factory: FactoryDep, run_id: UUID) -> StreamingResponse:
    """Return the same facts as the PDF, with every list whole."""
    run, report = await factory.runs.report(caller.district, run_id)
    return StreamingResponse(report_json(factory.runs, run, report), media_type="application/json")


@router.get(
    "/runs/{run_id}/skipped.csv",
    summary="Skipped employees as CSV",
    response_class=StreamingResponse,
    responses=media("text/csv"),
)
async def get_skipped_csv(caller: RunsReader, factory: FactoryDep, run_id: UUID) -> StreamingResponse:
    """Return a line for each candidate of each skipped employee, with what disagreed."""
    run = await factory.runs.ended(caller.district, run_id)
    return download(skipped_csv(factory.runs, run), "text/csv", f"skipped-{run_id}.csv")


@router.get(
    "/runs/{run_id}/rejected.csv",
    summary="Rejected rows as CSV",
    response_class=StreamingResponse,
    responses=media("text/csv"),
)
async def get_rejected_csv(caller: RunsReader, factory: FactoryDep, run_id: UUID) -> StreamingResponse:
    """Return a line for each row of the file that could not be read, with the reason."""
    run = await factory.runs.ended(caller.district, run_id)
    return download(rejected_csv(factory.runs, run), "text/csv", f"rejected-{run_id}.csv")


@router.get(
    "/runs/{run_id}/changes.csv",
    summary="Changed records as CSV",
    response_class=StreamingResponse,
    responses=media("text/csv"),
)
async def get_changes_csv(caller: RunsReader, factory: FactoryDep, run_id: UUID) -> StreamingResponse:
    """Return a line for each record added or removed, and for each field changed, employee by employee.

    `manual_edit_by` and `manual_edit_at` tell of an edit by hand that the import went over, or of a
    preview, would go over; of an added record it is a deletion. report.json has the same as `changes`.
    """
    run = await factory.runs.ended(caller.district, run_id)
    return download(changes_csv(factory.runs, run), "text/csv", f"changes-{run_id}.csv")


@router.get(
    "/runs/{run_id}/error-log",
    summary="Error log of a failed connection",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "The file.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems(NotFoundError),
    },
)
async def get_error_log(caller: RunsReader, factory: FactoryDep, run_id: UUID) -> PlainTextResponse:
    """Return what an administrator needs to find out why the connection failed; it has no secret."""
    text = await factory.runs.error_log(caller.district, run_id)
    return PlainTextResponse(text, headers=attachment(f"error-log-{run_id}.txt"))
