"""Every route with every role and every scope: what the rules say is what happens."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import APIRouter

from app.access import ROLE_SCOPES, Scope
from app.api.dependencies import FactoryDep
from app.api.rules import PUBLIC, Rule, rules
from app.constants import EVERY_DISTRICT, Role
from app.main import create_app
from app.settings import Settings
from scripts.permissions import PAGE, page
from tests.support.api import HERE, Api, problem
from tests.support.oidc import bearer

ANY = uuid4()
BODIES: dict[str, Any] = {"POST": {}, "PUT": {}, "PATCH": {}}
REACHED = (200, 201, 204, 404, 409, 422)
"""The route was reached: it did, or refused, what an empty body and made-up ids ask of it."""


def the_rules(tmp_path: Path) -> list[Rule]:
    return rules(create_app(Settings(data_dir=tmp_path)))


def address(rule: Rule) -> str:
    """Return a path of the route's shape, whose ids name nothing."""
    return rule.path.format(
        **dict.fromkeys(("task_id", "run_id", "certification_id", "endorsement_id", "token_id"), ANY),
        employee_number="nobody",
        code="nothing",
        slug="forbidden",
    ).removeprefix("/api/v1")


def test_every_operation_of_the_document_has_a_rule(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    known = {(rule.method.lower(), rule.path): rule for rule in rules(app)}
    operations = {
        (method, path): operation
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
    }
    assert len(operations) > 40
    for place, operation in operations.items():
        scope = known[place].scope
        if scope is None:
            assert place[1] in PUBLIC
            assert {} in operation.get("security", [{}]), place
        else:
            assert operation["security"] == [{"bearer": [scope]}], place


def test_a_route_without_a_rule_is_found(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    router = APIRouter()

    @router.get("/api/v1/everything")
    async def _everything(_factory: FactoryDep) -> None: ...

    app.include_router(router)
    with pytest.raises(LookupError, match="/api/v1/everything"):
        rules(app)


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make openapi` and commit what it changes"


def test_roles_are_ordered_and_ops_stands_apart() -> None:
    scopes = [ROLE_SCOPES[role] for role in (Role.VIEWER, Role.HR, Role.ADMIN)]
    assert scopes[0] < scopes[1] < scopes[2]
    assert ROLE_SCOPES[Role.OPS] == {Scope.DEPLOYMENT_READ}
    assert not ROLE_SCOPES[Role.OPS] & scopes[2]


async def test_every_route_with_every_role(api: Api, tmp_path: Path) -> None:
    """A role that may not is refused before its body is looked at; one that may comes as far as that."""
    for rule in the_rules(tmp_path):
        path = address(rule)
        anonymous = await api.call(rule.method, path, BODIES.get(rule.method), role=None)
        if rule.scope is None:
            assert anonymous.status_code not in (401, 403), path
            continue
        problem(anonymous, 401, "unauthorized")
        for role in Role:
            district = EVERY_DISTRICT if role is Role.OPS else HERE
            answer = await api.call(rule.method, path, BODIES.get(rule.method), role=role, district=district)
            if rule.scope in ROLE_SCOPES[role]:
                assert answer.status_code in REACHED, (rule, role, answer.text)
            else:
                told = problem(answer, 403, "forbidden")["detail"]
                assert f"your token has `{role}`" in told, (rule, role)


async def test_every_route_with_every_scope(api: Api, tmp_path: Path) -> None:
    """A service token of one scope reaches the routes that need it, and no other."""
    for scope in sorted(ROLE_SCOPES[Role.ADMIN] - {Scope.TOKENS_MANAGE}):
        made = await api.call("POST", "/service-tokens", {"name": scope, "scopes": [scope]})
        token = made.json()["token"]
        for rule in the_rules(tmp_path):
            if rule.scope is None:
                continue
            answer = await api.call(
                rule.method, address(rule), BODIES.get(rule.method), role=None, headers=bearer(token)
            )
            allowed = answer.status_code in REACHED
            assert allowed == (rule.scope == scope), (rule, scope, answer.text)
            assert allowed or problem(answer, 403, "forbidden")
