"""Tasks over HTTP: the schedule is validated, stored, and stands on the list of runs (I7, I9)."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from app.constants import Role, RunKind, RunTrigger
from app.models import Run
from app.models.base import utc_now
from tests.support.api import HERE, THERE, Api, places, problem
from tests.support.schedules import clock

ACTIVE = {
    "description": "Nightly import",
    "status": "active",
    "scheduled_start_date": "2026-09-01",
    "time": "00:00",
    "recurrence": ["fri", "mon"],
}


async def create(api: Api, **changes: Any) -> dict[str, Any]:
    response = await api.call("POST", "/tasks", ACTIVE | changes)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    assert response.headers["Location"] == f"/api/v1/tasks/{body['id']}"
    assert response.headers["ETag"] == f'"{body["version"]}"'
    return body


async def test_create_read_change_delete(api: Api) -> None:
    with clock("2026-08-20T12:00") as moved:
        task = await create(api)
        own = {name: task[name] for name in ("id", "created_at", "updated_at", "version")}
        assert task == {
            **ACTIVE,
            **own,
            "recurrence": ["mon", "fri"],
            "timezone": "America/New_York",
            "next_run_at": "2026-09-04T04:00:00Z",  # the first Friday of September
            "created_by": "kmarsh",
            "updated_by": "kmarsh",
        }
        assert task["created_at"] == "2026-08-20T12:00:00Z"
        path = f"/tasks/{task['id']}"
        read = await api.get(path, role=Role.VIEWER)
        assert (read.json(), read.headers["ETag"]) == (task, f'"{task["version"]}"')

        moved.shift(60)
        changed = (await api.call("PATCH", path, {"time": "14:45", "recurrence": ["sun"]})).json()
        assert changed["version"] > task["version"]
        assert {name for name in task if changed[name] != task[name]} == {
            "time",
            "recurrence",
            "next_run_at",
            "updated_at",
            "version",
        }
        assert changed["next_run_at"] == "2026-09-06T18:45:00Z"
        assert (await api.get(path)).json() == changed
        assert (await api.call("DELETE", path)).status_code == 204
        problem(await api.get(path), 404, "not-found")


async def test_the_next_occurrence_stands_on_the_list_of_runs(api: Api) -> None:
    async def listed() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await api.get("/runs", role=Role.VIEWER)).json()["items"]
        return items

    task = await create(api)
    (run,) = await listed()
    assert run["scheduled_start"] == task["next_run_at"]
    shown = {
        "task_id": task["id"],
        "task_description": "Nightly import",
        "kind": "import",
        "trigger": "schedule",
        "status": "waiting",
        "actual_start": None,
        "run_by": "kmarsh",
        "late": False,
    }
    assert {name: run[name] for name in shown} == shown
    assert (await api.get("/runs", district=THERE)).json()["items"] == []

    path = f"/tasks/{task['id']}"
    renamed = (await api.call("PATCH", path, {"description": "By night"})).json()
    assert renamed["next_run_at"] == task["next_run_at"]
    assert await listed() == [run | {"task_description": "By night"}]
    moved = (await api.call("PATCH", path, {"time": "14:45"})).json()
    assert [run["scheduled_start"] for run in await listed()] == [moved["next_run_at"]]
    assert moved["next_run_at"] != task["next_run_at"]
    off = (await api.call("PATCH", path, {"status": "inactive"})).json()
    assert (off["next_run_at"], await listed()) == (None, [])
    on = (await api.call("PATCH", path, {"status": "active"})).json()
    assert [run["scheduled_start"] for run in await listed()] == [on["next_run_at"]]
    assert (await api.call("DELETE", path)).status_code == 204
    assert await listed() == []


async def test_a_refused_change_moves_nothing(api: Api) -> None:
    task = await create(api)
    path = f"/tasks/{task['id']}"
    before = (await api.get("/runs")).json()
    stale = {"If-Match": '"0"'}
    problem(await api.call("PATCH", path, {"time": "14:45"}, headers=stale), 412, "precondition-failed")
    problem(await api.call("DELETE", path, headers=stale), 412, "precondition-failed")
    assert places(await api.call("PATCH", path, {"time": "14:45", "recurrence": []})) == [
        ["body", "recurrence"]
    ]
    assert (await api.get("/runs")).json() == before


async def test_inactive_needs_no_schedule_and_active_does(api: Api) -> None:
    bare = {"description": "By hand", "status": "inactive"}
    task = (await api.call("POST", "/tasks", bare)).json()
    assert (task["scheduled_start_date"], task["time"], task["recurrence"]) == (None, None, [])
    required = [["body", name] for name in ("scheduled_start_date", "time", "recurrence")]
    assert places(await api.call("POST", "/tasks", bare | {"status": "active"})) == required
    assert places(await api.call("PATCH", f"/tasks/{task['id']}", {"status": "active"})) == required
    assert (await api.get(f"/tasks/{task['id']}")).json() == task
    active = await create(api)
    for name, empty in (("scheduled_start_date", None), ("time", None), ("recurrence", [])):
        assert places(await api.call("PATCH", f"/tasks/{active['id']}", {name: empty})) == [["body", name]]
    off = await api.call("PATCH", f"/tasks/{active['id']}", {"status": "inactive", "time": None})
    assert off.json()["time"] is None


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("description", "", ["description"]),
        ("description", None, ["description"]),
        ("description", "x" * 201, ["description"]),
        ("status", "paused", ["status"]),
        ("scheduled_start_date", "2026-02-30", ["scheduled_start_date"]),
        ("scheduled_start_date", "01/09/2026", ["scheduled_start_date"]),
        ("scheduled_start_date", 20260901, ["scheduled_start_date"]),
        ("scheduled_start_date", "2101-01-01", ["scheduled_start_date"]),
        ("time", "24:00", ["time"]),
        ("time", "2:30", ["time"]),
        ("time", "02:30:00", ["time"]),
        ("time", 230, ["time"]),
        ("timezone", "Mars/Olympus", ["timezone"]),
        ("timezone", "../etc/passwd", ["timezone"]),
        ("timezone", "localtime", ["timezone"]),
        ("timezone", "right/UTC", ["timezone"]),
        ("timezone", "America/New_York\x00", ["timezone"]),
        ("recurrence", ["mon", "mon"], ["recurrence"]),
        ("recurrence", ["Monday"], ["recurrence", 0]),
        ("recurrence", "mon", ["recurrence"]),
        ("next_run_at", "2026-09-01T00:00:00Z", ["next_run_at"]),
    ],
)
async def test_bad_values_are_located(api: Api, field: str, value: Any, place: list[str | int]) -> None:
    expected = [["body", *place]]
    assert places(await api.call("POST", "/tasks", ACTIVE | {field: value})) == expected
    task = await create(api)
    assert places(await api.call("PATCH", f"/tasks/{task['id']}", {field: value})) == expected


async def test_a_change_that_changes_nothing_is_not_written(api: Api) -> None:
    task = await create(api)
    for same in ({}, {"description": task["description"]}, {"timezone": task["timezone"]}):
        answer = await api.call("PATCH", f"/tasks/{task['id']}", same)
        assert (answer.status_code, answer.json()) == (200, task), same


async def test_time_zone_given_and_cleared(api: Api) -> None:
    task = await create(api, timezone=" Europe/Berlin ")
    assert task["timezone"] == "Europe/Berlin"
    cleared = await api.call("PATCH", f"/tasks/{task['id']}", {"timezone": None})
    assert cleared.json()["timezone"] == "America/New_York"


async def test_if_match(api: Api) -> None:
    task = await create(api)
    path = f"/tasks/{task['id']}"
    current = await api.call("PATCH", path, {"description": "Second"}, headers={"If-Match": "*"})
    stale = {"If-Match": f'"{task["version"]}"'}
    problem(
        await api.call("PATCH", path, {"description": "Third"}, headers=stale), 412, "precondition-failed"
    )
    problem(await api.call("DELETE", path, headers=stale), 412, "precondition-failed")
    assert (await api.get(path)).json() == current.json()
    right = {"If-Match": current.headers["ETag"]}
    assert (await api.call("DELETE", path, headers=right)).status_code == 204


async def test_another_district_and_unknown_ids(api: Api) -> None:
    task = await create(api)
    assert (await api.get("/tasks", district=THERE)).json()["items"] == []
    for identifier in (task["id"], uuid4()):
        for method, body in (("GET", None), ("PATCH", {"description": "Mine"}), ("DELETE", None)):
            response = await api.call(method, f"/tasks/{identifier}", body, district=THERE)
            problem(response, 404, "not-found")
    assert places(await api.get("/tasks/not-a-uuid")) == [["path", "task_id"]]
    assert (await api.get(f"/tasks/{task['id']}")).json() == task


@pytest.mark.parametrize("role", [Role.VIEWER, Role.HR])
async def test_only_admins_write(api: Api, role: Role) -> None:
    task = await create(api)
    path = f"/tasks/{task['id']}"
    problem(await api.call("POST", "/tasks", ACTIVE, role=role), 403, "forbidden")
    problem(await api.call("PATCH", path, {"status": "inactive"}, role=role), 403, "forbidden")
    problem(await api.call("DELETE", path, role=role), 403, "forbidden")
    assert (await api.get("/tasks", role=role)).json()["items"] == [task]


async def test_runs_outlive_their_task(api: Api) -> None:
    task = await create(api)
    run = Run(
        district_id=HERE,
        task_id=UUID(task["id"]),
        task_description="Nightly import",
        kind=RunKind.IMPORT,
        trigger=RunTrigger.RUN_NOW,
        scheduled_start=utc_now(),
        run_by="kmarsh",
    )
    await api.add(run)
    assert (await api.call("DELETE", f"/tasks/{task['id']}")).status_code == 204
    left = (await api.get(f"/runs/{run.id}")).json()
    assert (left["task_id"], left["task_description"]) == (None, "Nightly import")
