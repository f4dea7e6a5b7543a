"""Renders every failure as RFC 9457 `application/problem+json`, and the pages that explain them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from app import errors
from app.api.schemas.problem import Problem
from app.api.security_headers import page_policy
from app.errors import AppError, FieldError
from app.logs import trace
from app.storage.conflicts import conflict_of

MEDIA_TYPE = "application/problem+json"
TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent.parent / "templates"), autoescape=True)

WORDS = {
    "extra_forbidden": "is unknown here; check its spelling, or leave it out",
    "model_attributes_type": "must be a JSON object, sent with Content-Type: application/json",
}
"""Messages of the validator that say too little, by type."""

log = structlog.get_logger()
router = APIRouter(include_in_schema=False)


class BodyRefusedError(HTTPException):
    """Carries a refusal through the framework's reading of a body, which lets no other class pass."""

    def __init__(self, refusal: AppError) -> None:
        super().__init__(refusal.status, refusal.detail)
        self.refusal = refusal


def catalogue(base: type[AppError] = AppError) -> Iterator[type[AppError]]:
    """Yield every class of problem; their slugs are the addresses of their pages."""
    yield base
    for child in base.__subclasses__():
        yield from catalogue(child)


def problems(*classes: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route that can meet these problems."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in classes:
        text = f"**{error.title}** (`/problems/{error.slug}`): {error.explanation}"
        known = responses.setdefault(error.status, {"model": Problem, "description": text})
        if known["description"] != text:
            known["description"] += f"\n\n{text}"
    return responses


def plain(message: str) -> str:
    """Return a message without what the validator puts before those of our own rules."""
    return message.removeprefix("Value error, ")


def problem_response(error: AppError, instance: str | None) -> JSONResponse:
    """Return the answer for `error`, met at the path `instance`; None where no path could be read."""
    body: dict[str, Any] = {
        "type": f"/problems/{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        **({"instance": instance} if instance is not None else {}),
        **error.extra,
    }
    if error.errors:
        body["errors"] = [fault.as_dict() for fault in error.errors]
    return JSONResponse(body, error.status, headers=error.headers, media_type=MEDIA_TYPE)


def validation_problem(faults: Sequence[dict[str, Any]]) -> AppError:
    """Return the problem for a request that does not validate.

    The values that were sent are left out: they can be passwords, and they would be logged by callers.
    """
    unreadable = next((fault for fault in faults if fault["type"] == "json_invalid"), None)
    if unreadable is not None:
        return errors.BadRequestError(f"The body is not valid JSON, near character {unreadable['loc'][-1]}.")
    located = [
        FieldError(tuple(fault["loc"]), WORDS.get(fault["type"]) or plain(fault["msg"]), fault["type"])
        for fault in faults
    ]
    first = located[0]
    place = ".".join(str(part) for part in first.loc)
    more = f" And {len(located) - 1} more; see `errors`." if len(located) > 1 else ""
    return errors.ValidationFailedError(f"{place}: {first.msg}.{more}", errors=located)


def http_problem(request: Request, error: HTTPException) -> AppError:
    """Return the problem for what the framework itself refuses: unknown paths, methods, broken bodies."""
    if error.status_code == errors.NotFoundError.status:
        return errors.NotFoundError(f"There is nothing at {request.url.path}.")
    if error.status_code == errors.MethodNotAllowedError.status:
        allowed = ", ".join(allowed_methods(request)) or (error.headers or {}).get("Allow", "")
        return errors.MethodNotAllowedError(
            f"This address answers to {allowed} only, not to {request.method}.", headers={"Allow": allowed}
        )
    if isinstance(error, BodyRefusedError):
        return error.refusal
    return errors.BadRequestError("The body could not be read. Send JSON in UTF-8.")


def allowed_methods(request: Request) -> list[str]:
    """Return every method of the path; the framework's own `Allow` knows the first route only."""
    path = getattr(request.scope.get("route"), "path_format", "")
    return sorted(method.upper() for method in request.app.openapi()["paths"].get(path, ()))


def server_problem(request: Request, error: Exception) -> AppError:
    """Log what went wrong and return a problem that says nothing of it."""
    unavailable = isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError))
    log.error("database_unavailable" if unavailable else "request_failed", **trace(error))
    if unavailable:
        return errors.ServiceUnavailableError(
            "The database does not answer. Nothing was changed. Try again shortly.",
            headers={"Retry-After": "5"},
        )
    request_id = getattr(request.state, "request_id", "none")
    return AppError(f"Something went wrong on our side. Report the request id {request_id}.")


def add_problem_handlers(app: FastAPI) -> None:
    """Make the application answer every expected failure as a problem; the rest is RequestLog's."""

    @app.exception_handler(AppError)
    async def _app_error(request: Request, error: AppError) -> JSONResponse:
        return problem_response(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(validation_problem(error.errors()), request.url.path)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return problem_response(http_problem(request, error), request.url.path)

    @app.exception_handler(IntegrityError)
    async def _conflict(request: Request, error: IntegrityError) -> JSONResponse:
        known = conflict_of(error)
        return problem_response(known or server_problem(request, error), request.url.path)


@router.get("/problems/{slug}", response_class=HTMLResponse)
async def explain_problem(slug: str) -> HTMLResponse:
    """Show what a problem's `type` means."""
    problem = next((each for each in catalogue() if each.slug == slug), None)
    if problem is None:
        raise errors.NotFoundError("There is no problem of this name.")
    page = TEMPLATES.get_template("problem.html.j2").render(problem=problem)
    return HTMLResponse(page, headers={"Content-Security-Policy": page_policy(page)})
