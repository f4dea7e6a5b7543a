"""Every route that writes leaves its event, and one that is refused leaves none."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.access import Scope
from app.api.rules import rules
from app.errors import ConfigurationError
from app.factory import Factory
from app.main import create_app
from app.services import record_changes
from app.settings import Settings
from tests.support.api import HERE, Api, running_api
from tests.support.audit import newest, trail
from tests.support.imports import row, run_import, write_file
from tests.support.keyring import HILL, LAKE, NEW, OLD, fill, key_id, process
from tests.support.oidc import bearer
from tests.test_permissions import BODIES, address

ATTEMPTS = {"POST /sftp-connection/test", "POST /sftp-connection/scan"}
"""They change nothing; what became of an attempt is a connection event."""
ANN = {"last_name": "Roy", "first_name": "Ann", "status": "active"}
TASK = {"description": "Licences", "status": "inactive", "timezone": "America/New_York"}
CERTIFICATION = {
    "employee_number": "E1",
    "license_number": "L1",
    "license_type": "Level II",
    "status": "ACT",
}
CONNECTION = {"host": "sftp.example", "port": 22, "username": "u", "password": "p", "directory": "/out"}
PINS = ["SHA256:" + letter * 42 + "A" for letter in "ABC"]


@dataclass(frozen=True)
class Step:
    """A request that succeeds, and what the trail says of it; `{id}` is that of an answer before."""

    operation: str
    path: str
    body: Any = None
    says: tuple[str, ...] = ()
    keep: str = ""
    user: str = "kmarsh"


STEPS = [
    Step("PUT /job-classes/{code}", "/job-classes/T", {"title": "Teacher"}, ("job_class added",)),
    Step(
        "PUT /employees/{employee_number}",
        "/employees/E1",
        ANN | {"job_class": "NEW"},
        ("job_class added", "employee added"),
    ),
    Step(
        "POST /employees/bulk",
        "/employees/bulk",
        {
            "items": [
                ANN | {"employee_number": "E1", "middle_name": "B"},
                ANN | {"employee_number": "E2"},
            ]
        },
        ("employee added", "employee changed"),
    ),
    Step(
        "POST /certifications", "/certifications", CERTIFICATION, ("certification added",), "certification_id"
    ),
    Step(
        "PATCH /certifications/{certification_id}",
        "/certifications/{certification_id}",
        {"expiration_date": "2030-06-30"},
        ("certification changed",),
    ),
    Step(
        "POST /endorsements",
        "/endorsements",
        {"certification_id": "{certification_id}", "code": "5440"},
        ("endorsement added",),
        "endorsement_id",
    ),
    Step(
        "PATCH /endorsements/{endorsement_id}",
        "/endorsements/{endorsement_id}",
        {"primary": True},
        ("endorsement changed",),
    ),
    Step(
        "DELETE /endorsements/{endorsement_id}",
        "/endorsements/{endorsement_id}",
        None,
        ("endorsement deleted",),
    ),
    Step(
        "POST /endorsements",
        "/endorsements",
        {"certification_id": "{certification_id}", "code": "5441"},
        ("endorsement added",),
    ),
    Step(
        "DELETE /certifications/{certification_id}",
        "/certifications/{certification_id}",
        None,
        ("endorsement deleted", "certification deleted"),
    ),
    Step("DELETE /employees/{employee_number}", "/employees/E1", None, ("employee deleted",)),
    Step("DELETE /job-classes/{code}", "/job-classes/T", None, ("job_class deleted",)),
    Step("POST /tasks", "/tasks", TASK, ("task added",), "task_id"),
    Step("PATCH /tasks/{task_id}", "/tasks/{task_id}", {"description": "Daily"}, ("task changed",)),
    Step("POST /tasks/{task_id}/run", "/tasks/{task_id}/run", {}, ("run started",), "run_id"),
    Step("POST /runs/{run_id}/cancel", "/runs/{run_id}/cancel", None, ("run cancelled",)),
    Step("DELETE /tasks/{task_id}", "/tasks/{task_id}", None, ("task deleted",)),
    Step(
        "PUT /sftp-connection",
        "/sftp-connection",
        CONNECTION | {"fingerprint": PINS[0]},
        ("sftp_connection saved",),
    ),
    Step(
        "PUT /sftp-connection",
        "/sftp-connection",
        CONNECTION | {"fingerprint": PINS[1]},
        ("sftp_connection change_proposed",),
    ),
    Step(
        "POST /sftp-connection/host-key/reject",
        "/sftp-connection/host-key/reject",
        None,
        ("sftp_connection change_rejected",),
    ),
    Step(
        "PUT /sftp-connection",
        "/sftp-connection",
        CONNECTION | {"fingerprint": PINS[1], "directory": "/out"},
        ("sftp_connection change_proposed",),
    ),
    Step(
        "POST /sftp-connection/host-key/accept",
        "/sftp-connection/host-key/accept",
        {"fingerprint": PINS[1], "proposal_id": "{proposal_id}"},
        ("sftp_connection change_confirmed",),
        user="second",
    ),
    Step(
        "POST /service-tokens",
        "/service-tokens",
        {"name": "erp", "scopes": ["records:read"]},
        ("service_token added",),
        "token_id",
    ),
    Step("DELETE /service-tokens/{token_id}", "/service-tokens/{token_id}", None, ("service_token revoked",)),
]


@pytest.fixture
async def two(settings: Settings) -> AsyncIterator[Api]:
    """The application where a host key needs two administrators."""
    async with running_api(settings.model_copy(update={"host_key_second_person": True})) as api:
        yield api


def writes(tmp_path: Path) -> dict[str, Any]:
    found = rules(create_app(Settings(data_dir=tmp_path)))
    return {
        f"{rule.method} {rule.path.removeprefix('/api/v1')}": rule
        for rule in found
        if rule.method not in ("GET", "HEAD")
    }


async def send(api: Api, step: Step, known: dict[str, str]) -> Any:
    if "{proposal_id}" in str(step.body):
        known["proposal_id"] = (await api.get("/sftp-connection")).json()["proposal"]["id"]
    body = step.body
    for name, value in known.items():
        if body is not None:
            body = json.loads(json.dumps(body).replace(f"{{{name}}}", value))
    method, path = step.operation.partition(" ")[0], step.path.format(**known)
    headers = bearer(api.token(user=step.user)) | {"X-Request-ID": "walk"}
    return await api.call(method, path, body, role=None, headers=headers)


async def test_every_write_leaves_its_event(two: Api, tmp_path: Path) -> None:
    assert {step.operation for step in STEPS} | ATTEMPTS == set(writes(tmp_path)), "a route without a step"
    known: dict[str, str] = {}
    for step in STEPS:
        before = {each.id for each in await trail(two.factory, HERE)}
        answer = await send(two, step, known)
        assert answer.status_code < 300, (step, answer.text)
        if step.keep:
            known[step.keep] = answer.json()["id"]
        new = [each for each in await trail(two.factory, HERE) if each.id not in before]
        assert sorted(f"{each.record_type} {each.action}" for each in new) == sorted(step.says), step
        for each in new:
            assert (each.actor, each.interface, each.request_id) == (step.user, "api", "walk")
            assert each.address == "127.0.0.1"
        again = await send(two, step, known) if step.operation.startswith(("PATCH", "PUT /emp")) else answer
        assert again.status_code < 300
        assert len(await trail(two.factory, HERE)) == len(before) + len(new), (
            "what changes nothing is no event"
        )
    said = json.dumps([each.content for each in await trail(two.factory, HERE)])
    for secret in ("sftp.example", '"p"', *PINS, "cst_"):
        assert secret not in said


async def test_a_refused_write_leaves_none(api: Api, tmp_path: Path) -> None:
    """One that never came so far, and those that the use cases refuse in their transactions."""
    await api.call("PUT", "/employees/E1", ANN)
    await api.call("POST", "/certifications", CERTIFICATION)
    known = len(await trail(api.factory, HERE))
    for operation, rule in writes(tmp_path).items():
        if operation in ATTEMPTS:
            continue
        body = {"code": "another"} if "{code}" in rule.path else BODIES.get(rule.method)
        answer = await api.call(rule.method, address(rule), body)
        assert answer.status_code in (404, 409, 422), (rule, answer.text)
    stale = {"If-Match": '"0"'}
    for method, path, body, headers, status in (
        ("PUT", "/employees/E1", ANN | {"middle_name": "C"}, stale, 412),
        ("DELETE", "/employees/E1", None, {}, 409),
        ("DELETE", "/employees/E1", None, stale, 412),
        ("POST", "/certifications", CERTIFICATION, {}, 409),
        ("POST", "/certifications", CERTIFICATION | {"employee_number": "E9"}, {}, 422),
    ):
        answer = await api.call(method, path, body, headers=headers)
        assert answer.status_code == status, answer.text
    assert len(await trail(api.factory, HERE)) == known


async def test_event_and_change_are_one_transaction(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.call("PUT", "/employees/E1", ANN)

    async def breaks(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(record_changes, "edits_moved", breaks)  # what comes after the event
    assert (await api.call("POST", "/certifications", CERTIFICATION)).status_code == 500
    assert (await api.get("/certifications")).json()["items"] == []
    assert (await newest(api.factory, HERE)).record_type == "employee"


async def test_a_request_that_is_sent_again_leaves_one_event(api: Api) -> None:
    for _ in range(2):
        answer = await api.call("POST", "/tasks", TASK, headers={"Idempotency-Key": "once"})
        assert answer.status_code == 201
    assert len(await trail(api.factory, HERE)) == 1


async def test_a_service_token_is_told_from_another_of_its_name(api: Api) -> None:
    made = (await api.call("POST", "/service-tokens", {"name": "erp", "scopes": ["employees:write"]})).json()
    await api.call("PUT", "/employees/E1", ANN, role=None, headers=bearer(made["token"]))
    found = await newest(api.factory, HERE)
    assert (found.actor, str(found.token_id)) == ("service:erp", made["id"])


async def test_an_import_is_one_event_at_its_commit(factory: Factory, tmp_path: Path) -> None:
    run = await run_import(factory, write_file(tmp_path, [row("1", "Roy", "Ann")]))
    failed = await run_import(factory, write_file(tmp_path, [["x"]], "20260106", ["EducatorID"]))
    ends = [each for each in await trail(factory) if each.action == "ended"]
    assert [(each.run_id, each.interface, each.actor) for each in ends] == [
        (run.id, "import", "importer"),
        (failed.id, "import", "importer"),
    ]
    first, second = (json.loads(each.content)["after"] for each in ends)
    assert (first["status"], first["kind"], first["summary"]) == ("succeeded", "import", run.summary)
    assert (second["status"], second["failure_code"]) == ("failed", "file_missing_columns")


async def test_what_concerns_all_districts_is_in_the_trail_of_each(settings: Settings) -> None:
    async with process(settings, OLD) as factory:
        await fill(factory)
        made = await factory.service_tokens.create(None, "ops", "prometheus", [Scope.DEPLOYMENT_READ], None)
        await factory.service_tokens.revoke(None, made.row.id, "ops")
        await factory.service_tokens.revoke(None, made.row.id, "ops")
    async with process(settings, NEW, OLD) as factory:
        await factory.keys.rotate()
        await factory.keys.rotate()  # nothing is left to do
        said = [(each.record_type, each.action, each.record_id) for each in await trail(factory, HILL)]
        assert said[-3:] == [
            ("service_token", "added", str(made.row.id)),
            ("service_token", "revoked", str(made.row.id)),
            ("encryption_keys", "rotated", key_id(NEW)),
        ]
        assert (await newest(factory, LAKE)).action == "rotated"
    async with process(settings, OLD) as factory:
        with pytest.raises(ConfigurationError, match="No stored value"):
            await factory.keys.discard(key_id(OLD), confirmed=True)
        await factory.keys.discard(key_id(NEW), confirmed=False)
        assert (await newest(factory, LAKE)).action == "rotated"
        await factory.keys.discard(key_id(NEW), confirmed=True)
        found = await newest(factory, LAKE)
        assert (found.action, found.record_id) == ("discarded", key_id(NEW))
