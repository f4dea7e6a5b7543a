"""`Idempotency-Key`: a POST takes effect once, however often it is sent."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
import time_machine
from sqlmodel import SQLModel

from app.constants import Role
from app.main import create_app
from app.models import Certification, Employee, Endorsement, IdempotencyKey, Run, Task
from app.models.base import utc_now
from app.services import connection_trials
from app.services.idempotency import KEPT
from app.settings import Settings
from app.storage import idempotency_keys
from app.storage.fingerprints import OfferedKey
from app.storage.record_ids import certification_id
from app.storage.ssh_attempt import Attempt
from tests.support.api import HERE, THERE, Api, places, problem
from tests.support.databases import in_every_mode
from tests.support.records import CODE, LICENCE, add_certification, hire
from tests.support.runs import inactive_task, waiting_run
from workers.sweep import sweep

TASK = {"description": "Élan\u2019s licences \U0001f393", "status": "inactive"}
PERSON = {"employee_number": "1", "last_name": "Ní Bhriain", "first_name": "Áine", "status": "active"}
TWINS = 12


async def post(api: Api, path: str, body: Any = None, key: str = "k-1", **options: Any) -> httpx.Response:
    return await api.call("POST", path, body, headers={"Idempotency-Key": key}, **options)


async def count(api: Api, table: type[SQLModel]) -> int:
    async with api.factory.database.engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(table.__table__)  # type: ignore[attr-defined]
        return int((await connection.execute(query)).scalar_one())


def is_repeated(first: httpx.Response, second: httpx.Response) -> bool:
    names = ("location", "etag", "content-type")
    same = [
        (response.status_code, response.content, *(response.headers.get(name) for name in names))
        for response in (first, second)
    ]
    marks = [response.headers.get("Idempotency-Replayed") for response in (first, second)]
    return same[0] == same[1] and marks == [None, "true"]


TASK_ID, RUN_ID = UUID(int=1), UUID(int=2)
LICENCE_ID = certification_id(HERE, "E1", LICENCE["license_number"], LICENCE["license_type"])
EFFECTS: dict[str, tuple[str, Any, int, type[SQLModel], int]] = {
    "task": ("/tasks", TASK, 201, Task, 2),
    "run": (f"/tasks/{TASK_ID}/run", {"accept_shrink": True}, 202, Run, 2),
    "run without a body": (f"/tasks/{TASK_ID}/run", None, 202, Run, 2),
    "cancel": (f"/runs/{RUN_ID}/cancel", None, 202, Run, 1),
    "employees": ("/employees/bulk", {"items": [PERSON]}, 200, Employee, 2),
    "certification": ("/certifications", {**LICENCE, "license_number": "L2"}, 201, Certification, 2),
    "endorsement": ("/endorsements", {**CODE, "certification_id": str(LICENCE_ID)}, 201, Endorsement, 1),
}
"""By name: address, body, status of the answer, table, and its rows afterwards."""


@pytest.mark.parametrize("name", EFFECTS)
async def test_request_sent_again_gets_the_same_answer_and_no_effect(api: Api, name: str) -> None:
    path, body, status, table, rows = EFFECTS[name]
    await api.add(
        inactive_task(id=TASK_ID), waiting_run(id=RUN_ID, scheduled_start=utc_now() + timedelta(hours=1))
    )
    await hire(api, "E1")
    await add_certification(api)
    first = await post(api, path, body)
    assert first.status_code == status, first.text
    for _ in range(2):
        assert is_repeated(first, await post(api, path, body))
    assert await count(api, table) == rows
    assert await count(api, IdempotencyKey) == 1


async def test_answer_is_the_first_one_whatever_happened_since(api: Api) -> None:
    first = await post(api, "/tasks", TASK)
    assert (await api.call("DELETE", f"/tasks/{first.json()['id']}")).status_code == 204
    assert is_repeated(first, await post(api, "/tasks", TASK))
    assert await count(api, Task) == 0


async def test_key_of_another_request_is_refused(api: Api) -> None:
    await api.add(task := inactive_task())
    await post(api, "/tasks", TASK)
    problem(await post(api, "/tasks", {**TASK, "description": "Other"}), 422, "idempotency-key-reused")
    started = await post(api, f"/tasks/{task.id}/run", key="k-2")
    cancel = f"/runs/{started.json()['id']}/cancel"
    problem(await post(api, cancel, key="k-2"), 422, "idempotency-key-reused")
    assert await count(api, Task) == 2
    assert (await api.get(f"/runs/{started.json()['id']}")).json()["status"] == "waiting"


async def test_keys_are_of_one_user_of_one_district(api: Api) -> None:
    first = await post(api, "/tasks", TASK)
    other_district = await post(api, "/tasks", TASK, district=THERE)
    token = api.token(user="other")
    headers = {"Idempotency-Key": "k-1", "Authorization": f"Bearer {token}"}
    other_user = await api.call("POST", "/tasks", TASK, role=None, headers=headers)
    ids = {response.json()["id"] for response in (first, other_district, other_user)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    "key", [b"", b"x" * 256, b"caf\xc3\xa9", b"tab\there"], ids=["0", "256", "accent", "tab"]
)
async def test_malformed_key_is_located(api: Api, key: bytes) -> None:
    headers: Any = {b"Idempotency-Key": key, b"Authorization": f"Bearer {api.token()}".encode()}
    response = await api.client.post("/api/v1/tasks", json=TASK, headers=headers)
    assert places(response) == [["header", "Idempotency-Key"]]
    assert await count(api, Task) == 0


async def test_longest_key_is_taken(api: Api) -> None:
    assert (await post(api, "/tasks", TASK, key="x ~" * 85)).status_code == 201


async def test_refused_request_does_not_use_its_key_up(api: Api) -> None:
    await api.add(task := inactive_task())
    problem(await post(api, f"/tasks/{uuid4()}/run"), 404, "not-found")
    problem(await post(api, "/tasks", {**TASK, "status": "active"}), 422, "validation-failed")
    assert await count(api, IdempotencyKey) == 0
    first = await post(api, f"/tasks/{task.id}/run")
    assert first.status_code == 202
    problem(await post(api, f"/tasks/{task.id}/run", key="k-2"), 409, "run-in-progress")
    assert is_repeated(first, await post(api, f"/tasks/{task.id}/run"))


async def test_effect_and_key_are_one_transaction(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(idempotency_keys, "keep", broken)
        problem(await post(api, "/tasks", TASK), 500, "internal-error")
    assert (await count(api, Task), await count(api, IdempotencyKey)) == (0, 0)
    assert (await post(api, "/tasks", TASK)).status_code == 201


async def test_key_is_new_again_after_24_hours(api: Api) -> None:
    begin = utc_now()
    with time_machine.travel(begin, tick=False) as clock:
        first = await post(api, "/tasks", TASK)
        clock.move_to(begin + KEPT)
        assert is_repeated(first, await post(api, "/tasks", TASK))
        clock.move_to(begin + KEPT + timedelta(seconds=1))
        again = await post(api, "/tasks", {**TASK, "description": "Other"})
        assert (again.status_code, again.headers.get("Idempotency-Replayed")) == (201, None)
        assert is_repeated(again, await post(api, "/tasks", {**TASK, "description": "Other"}))
    assert await count(api, IdempotencyKey) == 1


async def test_sweep_deletes_keys_that_are_no_longer_honoured(api: Api) -> None:
    begin = utc_now()
    with time_machine.travel(begin, tick=False) as clock:
        await post(api, "/tasks", TASK, key="old")
        clock.move_to(begin + timedelta(hours=1))
        young = await post(api, "/tasks", TASK, key="young")
        clock.move_to(begin + KEPT + timedelta(seconds=1))
        await sweep({"factory": api.factory})
        assert await count(api, IdempotencyKey) == 1
        assert is_repeated(young, await post(api, "/tasks", TASK, key="young"))


async def test_twins_with_one_key_get_one_answer_and_make_one_run(api: Api) -> None:
    await api.add(task := inactive_task())
    answers = await asyncio.gather(*(post(api, f"/tasks/{task.id}/run") for _ in range(TWINS)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
    assert {answer.headers["Location"] for answer in answers} == {answers[0].headers["Location"]}
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers].count(None) == 1
    assert await count(api, Run) == 1


@pytest.mark.parametrize("keys", [False, True])
@in_every_mode
async def test_double_clicks_make_one_run(api: Api, keys: bool) -> None:
    """Without a key, or with a new one for each click, the others learn which run is under way."""
    await api.add(task := inactive_task())
    headers = [{"Idempotency-Key": str(number)} if keys else {} for number in range(TWINS)]
    path = f"/tasks/{task.id}/run"
    answers = await asyncio.gather(*(api.call("POST", path, headers=each) for each in headers))
    started = [answer for answer in answers if answer.status_code == 202]
    assert len(started) == 1
    for answer in answers:
        if answer not in started:
            assert problem(answer, 409, "run-in-progress")["run_id"] == started[0].json()["id"]
            assert started[0].json()["id"] in answer.headers["Link"]
    assert await count(api, Run) == 1


async def test_connection_is_tried_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried outside of a transaction; of twins that try at once, both get the answer of one."""
    hosts: list[str] = []
    inner: list[httpx.Response] = []

    async def scan(attempt: Attempt, *_: object) -> list[OfferedKey]:
        hosts.append(attempt.target.host)
        if len(hosts) == 1:
            inner.append(await post(api, "/sftp-connection/scan", {"host": hosts[0]}))
        return [OfferedKey("ssh-ed25519", f"SHA256:{len(hosts)}")]

    monkeypatch.setattr(connection_trials, "scan_host_keys", scan)
    outer = await post(api, "/sftp-connection/scan", {"host": "sftp.example"})
    assert is_repeated(inner[0], outer)
    assert is_repeated(inner[0], await post(api, "/sftp-connection/scan", {"host": "sftp.example"}))
    assert len(hosts) == 2

    tried = await post(api, "/sftp-connection/test", key="test")
    assert tried.json()["failure"]["code"] == "sftp_not_configured"
    assert is_repeated(tried, await post(api, "/sftp-connection/test", key="test"))


async def test_role_is_asked_before_the_key(api: Api) -> None:
    await post(api, "/tasks", TASK)
    problem(await post(api, "/tasks", TASK, role=Role.HR), 403, "forbidden")


def test_every_post_takes_a_key(tmp_path: Path) -> None:
    paths = create_app(Settings(data_dir=tmp_path)).openapi()["paths"]
    posts = {path: operations["post"] for path, operations in paths.items() if "post" in operations}
    assert len(posts) >= 6
    for path, operation in posts.items():
        names = [parameter["name"] for parameter in operation.get("parameters", ())]
        assert "Idempotency-Key" in names, path
        assert "/problems/idempotency-key-reused" in operation["responses"]["422"]["description"], path
