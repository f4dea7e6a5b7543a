"""What each route needs, read off the application itself: for the OpenAPI document, the docs and a test."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

from app.access import GRANTABLE, ROLE_SCOPES, Scope
from app.api.dependencies import Needs
from app.api.list_query import QueryOf
from app.constants import Role

PUBLIC = ("/docs", "/docs/oauth2-redirect", "/health/live", "/health/ready", "/problems/{slug}")
"""Paths that need no token, since they show nothing of a district; `ready` shows more to who has one."""


@dataclass(frozen=True)
class Rule:
    """A route and the scope that it needs; None for a public one."""

    method: str
    path: str
    scope: Scope | None


def rules(app: FastAPI) -> list[Rule]:
    """Return the rule of every route of ours.

    Raises LookupError for one that has none, or several, and is not declared public: nobody thought of
    who may call it.
    """
    return list(_rules(app))


def _rules(app: FastAPI) -> Iterator[Rule]:
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        if dependant is None:  # static files of the documentation, and the document itself
            continue
        path = str(route.path_format)
        scopes = set(_needed(dependant))
        if len(scopes) != (path not in PUBLIC):
            raise LookupError(f"{path} needs {sorted(scopes)}: name one scope, or list the path in PUBLIC")
        for method in sorted(route.methods or ()):
            yield Rule(method, path, next(iter(scopes), None))


def _needed(dependant: Dependant) -> Iterator[Scope]:
    """Yield the scopes that a route's dependencies ask for."""
    return (call.scope for call in _calls(dependant) if isinstance(call, Needs))


def queries(app: FastAPI) -> dict[str, type[BaseModel]]:
    """Return the models of queries by the paths of lists, which are all read with GET."""
    found = {}
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        for call in _calls(dependant) if dependant else ():
            if isinstance(call, QueryOf):
                found[str(route.path_format)] = call.model
    return found


def _calls(dependant: Dependant) -> Iterator[object]:
    """Yield what a route's dependencies call, however deep they are."""
    yield dependant.call
    for child in dependant.dependencies:
        yield from _calls(child)


def table(app: FastAPI) -> str:
    """Return who may call which route, as the Markdown of docs/permissions.md."""
    roles = list(Role)
    lines = [
        "| route | scope | " + " | ".join(f"`{role}`" for role in roles) + " | service token |",
        "| --- | --- |" + " :-: |" * (len(roles) + 1),
    ]
    for rule in sorted(rules(app), key=lambda rule: (rule.path, rule.method)):
        marks = [_mark(rule.scope is None or rule.scope in ROLE_SCOPES[role]) for role in roles]
        grantable = rule.scope is None or rule.scope in GRANTABLE | {Scope.DEPLOYMENT_READ}
        scope = f"`{rule.scope}`" if rule.scope else "none: public"
        lines.append(
            f"| `{rule.method} {rule.path}` | {scope} | " + " | ".join([*marks, _mark(grantable)]) + " |"
        )
    return "\n".join(lines) + "\n"


def _mark(allowed: bool) -> str:
    return "yes" if allowed else "-"
