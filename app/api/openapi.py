"""The OpenAPI document: the framework's own, mended where it says something else than the service does."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.problems import MEDIA_TYPE, problems
from app.api.schemas.problem import Problem
from app.errors import BadRequestError, PayloadTooLargeError

SUMMARY = "Keeps teacher licences in a school district's ERP true."
DESCRIPTION = """
Imports the state's licence file over SFTP, matches it to a district's active employees, replaces their
certifications and endorsements, and says exactly what happened.

* **Authentication**: `Authorization: Bearer <JWT>`; `certsync token` issues one. A token is for one district
  and one role (`viewer`, `hr`, `admin`), and sees nothing of another district.
* **Errors** are `application/problem+json` (RFC 9457); the `type` is the address of a page that explains it.
* **Lists** answer `items` and `next_cursor`. They take `limit` and `cursor`, `sort` (a field, or `-field` for
  descending), `q` (keywords) and filters, all of which must hold. Instants need an offset; in an address its
  `+` is written `%2B`.
* **Versions**: what can be changed has a `version` and an `ETag`; send it back as `If-Match` to be sure that
  nobody changed it meanwhile.
"""
TAGS = [
    {"name": "Tasks", "description": "Imports that are set up, with their schedules."},
    {"name": "Runs", "description": "Executions of tasks, and their reports."},
    {"name": "Employees", "description": "The district's employees, as its ERP has them."},
    {"name": "Job classes", "description": "Kinds of position; some require a certification."},
    {"name": "Certifications", "description": "Licences that employees hold."},
    {"name": "Endorsements", "description": "What a certification allows its holder to teach."},
    {
        "name": "Connection",
        "description": "How the state's server is reached, and every attempt to.",
    },
    {"name": "Files", "description": "Licence files that are kept."},
    {"name": "Operations", "description": "Whether the service is up."},
]
ETAG = {
    "description": "The version, for `If-Match`.",
    "schema": {"type": "string"},
    "example": '"7"',
}


def add_openapi(app: FastAPI) -> None:
    """Make `app.openapi` return the mended document, the same text every time."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _mend(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    summary=SUMMARY,
                    description=DESCRIPTION.strip(),
                    tags=TAGS,
                    routes=app.routes,
                    license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
                )
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # the way the framework documents


def _mend(document: dict[str, Any]) -> dict[str, Any]:
    """Give every error response its real media type and schema, and every body its two own errors."""
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operation in _operations(document):
        responses = operation["responses"]
        if "requestBody" in operation:
            for status, response in problems(BadRequestError, PayloadTooLargeError).items():
                responses.setdefault(str(status), {"description": response["description"]})
        for status, response in responses.items():
            if status.isdecimal() and int(status) >= BadRequestError.status and not _has_own_shape(response):
                response["content"] = content
            elif "version" in _schema(document, response).get("properties", {}):
                response["headers"] = {"ETag": ETAG}
        operation["responses"] = dict(sorted(responses.items()))
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _has_own_shape(response: dict[str, Any]) -> bool:
    """Tell whether the route gave the response a schema other than the framework's default and ours."""
    return _schema_name(response) not in ("", "Problem", "HTTPValidationError")


def _schema(document: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = document["components"]["schemas"].get(_schema_name(response), {})
    return schema


def _schema_name(response: dict[str, Any]) -> str:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    name: str = schema.get("$ref", "").rpartition("/")[2]
    return name


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()
