"""Job classes over HTTP."""

import pytest

from app.constants import Role
from tests.support.api import THERE, Api, places, problem

TEACHER = {"title": "Classroom teacher", "certification_required": True}
MARSH = {"last_name": "Marsh", "first_name": "Kathryn", "status": "active", "job_class": "TEACHER"}


async def test_put_read_delete(api: Api) -> None:
    added = await api.call("PUT", "/job-classes/TEACHER", TEACHER)
    assert added.status_code == 201
    assert added.json() == TEACHER | {"code": "TEACHER", "version": added.json()["version"]}
    assert (await api.get("/job-classes/TEACHER")).headers["ETag"] == added.headers["ETag"]
    same = await api.call("PUT", "/job-classes/TEACHER", TEACHER | {"code": "TEACHER"})
    assert (same.status_code, same.json()) == (200, added.json())
    changed = await api.call("PUT", "/job-classes/TEACHER", {})
    assert changed.json() | {"version": 0} == {
        "code": "TEACHER",
        "title": "",
        "certification_required": False,
        "version": 0,
    }
    await api.call("PUT", "/job-classes/AIDE", {})
    assert [each["code"] for each in (await api.get("/job-classes")).json()["items"]] == ["AIDE", "TEACHER"]
    stale = {"If-Match": added.headers["ETag"]}
    problem(await api.call("PUT", "/job-classes/TEACHER", {}, headers=stale), 412, "precondition-failed")
    problem(await api.call("DELETE", "/job-classes/TEACHER", headers=stale), 412, "precondition-failed")
    assert (await api.call("DELETE", "/job-classes/TEACHER")).status_code == 204
    problem(await api.get("/job-classes/TEACHER"), 404, "not-found")


async def test_delete_while_employees_are_in_it(api: Api) -> None:
    await api.call("PUT", "/employees/1", MARSH)
    detail = problem(await api.call("DELETE", "/job-classes/TEACHER"), 409, "conflict")["detail"]
    assert "1 employees" in detail
    await api.call("PUT", "/employees/1", MARSH | {"job_class": None})
    assert (await api.call("DELETE", "/job-classes/TEACHER")).status_code == 204


async def test_bad_values_are_located(api: Api) -> None:
    for body, place in (
        ({"code": "OTHER"}, ["body", "code"]),
        ({"title": "x" * 201}, ["body", "title"]),
        ({"certification_required": "yes"}, ["body", "certification_required"]),
        ({"certification_required": 0}, ["body", "certification_required"]),
        ({"required": True}, ["body", "required"]),
    ):
        assert places(await api.call("PUT", "/job-classes/TEACHER", body)) == [place]
    assert places(await api.call("PUT", f"/job-classes/{'x' * 65}", {})) == [["path", "code"]]
    assert places(await api.get("/job-classes/%00")) == [["path", "code"]]
    assert (await api.get("/job-classes")).json() == {"items": [], "next_cursor": None}


async def test_another_district_sees_nothing(api: Api) -> None:
    await api.call("PUT", "/job-classes/TEACHER", TEACHER)
    problem(await api.get("/job-classes/TEACHER", district=THERE), 404, "not-found")
    problem(await api.call("DELETE", "/job-classes/TEACHER", district=THERE), 404, "not-found")
    assert (await api.call("PUT", "/job-classes/TEACHER", {}, district=THERE)).status_code == 201
    assert (await api.get("/job-classes/TEACHER")).json()["certification_required"] is True


@pytest.mark.parametrize("role", [Role.VIEWER, Role.HR])
async def test_only_admins_write(api: Api, role: Role) -> None:
    problem(await api.call("PUT", "/job-classes/TEACHER", TEACHER, role=role), 403, "forbidden")
    problem(await api.call("DELETE", "/job-classes/TEACHER", role=role), 403, "forbidden")
    assert (await api.get("/job-classes", role=role)).status_code == 200
