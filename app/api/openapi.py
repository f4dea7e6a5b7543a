"""The OpenAPI document: the framework's own, mended where it says something else than the service does."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.access import ROLE_SCOPES
from app.api.list_query import documented_queries
from app.api.problems import MEDIA_TYPE, problems
from app.api.rules import Rule, queries, rules
from app.api.schemas.problem import Problem
from app.errors import (
    AddressTooLongError,
    BadRequestError,
    HeadersTooLargeError,
    PayloadTooLargeError,
    RequestTimeoutError,
)

SUMMARY = "Keeps teacher licences in a school district's ERP true."
DESCRIPTION = """
Imports the state's licence file over SFTP, matches it to a district's active employees, replaces their
certifications and endorsements, and says exactly what happened.

* **Authentication**: `Authorization: Bearer …` with a token of the identity provider, a service token, or in
  development one of `certsync token`. A token is for one district and sees nothing of another. People have a
  role (`viewer`, `hr`, `admin`), programs the scopes that their service token was given.
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
    {"name": "Service tokens", "description": "How integrators' programs sign in."},
    {"name": "Audit", "description": "Who did what to which record."},
    {"name": "Operations", "description": "Whether the service is up."},
]
CONNECTION = (BadRequestError, RequestTimeoutError, AddressTooLongError, HeadersTooLargeError)
"""What any request can meet before it is known for which operation it is (`cli/http_protocol.py`)."""
ETAG = {
    "description": "The version, for `If-Match`.",
    "schema": {"type": "string"},
    "example": '"7"',
}


def add_openapi(app: FastAPI) -> None:
    """Make `app.openapi` return the mended document, the same text every time."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(
                title=app.title,
                version=app.version,
                summary=SUMMARY,
                description=DESCRIPTION.strip(),
                tags=TAGS,
                routes=app.routes,
                license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
            )
            _add_queries(found, documented_queries(queries(app)))
            app.openapi_schema = _mend(found, rules(app))
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # the way the framework documents


def _add_queries(document: dict[str, Any], queries: dict[str, Any]) -> None:
    """Add the parameters of queries, and the types that they are of."""
    for path, operations in queries["paths"].items():
        document["paths"][path]["get"]["parameters"] = operations["get"]["parameters"]
    document["components"]["schemas"] |= queries["components"]["schemas"]


def _mend(document: dict[str, Any], needed: list[Rule]) -> dict[str, Any]:
    """Give every error response its real media type and schema, and every body its two own errors.

    And every operation what it needs: a scope stands where OpenAPI 3.1 lets names of roles stand.
    """
    for rule in needed:
        if rule.scope and (operation := document["paths"][rule.path].get(rule.method.lower())):
            operation["security"] = [{"bearer": [rule.scope.value]}]
            allowed = ", ".join(f"`{role}`" for role, scopes in ROLE_SCOPES.items() if rule.scope in scopes)
            operation["description"] += (
                f"\n\nNeeds the scope `{rule.scope}`, which these roles have: {allowed}."
            )
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
    _add_connection(document, content)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _add_connection(document: dict[str, Any], content: dict[str, Any]) -> None:
    """Give every operation the errors of the connection, unless it has that status already."""
    shared = document["components"]["responses"] = {}
    for status, response in problems(*CONNECTION).items():
        shared[f"Refused{status}"] = {"description": response["description"], "content": content}
    for operation in _operations(document):
        refused = {name[-3:]: {"$ref": f"#/components/responses/{name}"} for name in shared}
        operation["responses"] = dict(sorted((refused | operation["responses"]).items()))


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
