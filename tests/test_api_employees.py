"""Employees over HTTP: one by one and in bulk."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.constants import RecordSource, Role
from app.models import Certification, Employee
from app.storage.versions import data_versions
from tests.support.api import HERE, THERE, Api, places, problem

MARSH = {"last_name": "Marsh", "first_name": "Kathryn", "status": "active"}


def item(number: str, **changes: Any) -> dict[str, Any]:
    return {"employee_number": number, **MARSH, **changes}


async def roster_version(api: Api) -> int:
    async with api.factory.database.engine.connect() as connection:
        return (await data_versions(connection, HERE))[0]


async def stored(api: Api, number: str, district: str = HERE) -> Employee:
    async with api.factory.database.read() as session:
        query: Any = sa.select(Employee).where(
            Employee.employee_number == number,  # type: ignore[arg-type]
            Employee.district_id == district,  # type: ignore[arg-type]
        )
        employee: Employee = (await session.exec(query)).scalar_one()
        return employee


async def test_put_adds_then_replaces_then_leaves_alone(api: Api) -> None:
    added = await api.call("PUT", "/employees/1001", MARSH | {"job_class": "TEACHER", "middle_name": "J"})
    assert added.status_code == 201
    body = added.json()
    assert added.headers["ETag"] == f'"{body["version"]}"'
    nothing = ("state_staff_id", "legal_last_name", "legal_first_name", "former_last_name")
    assert body == item(
        "1001", job_class="TEACHER", middle_name="J", version=body["version"]
    ) | dict.fromkeys(nothing)
    assert (await api.get("/employees/1001")).json() == body

    replaced = await api.call("PUT", "/employees/1001", MARSH | {"last_name": "Marsh-Lee"})
    assert replaced.status_code == 200
    assert replaced.json()["middle_name"] is None
    assert replaced.json()["version"] > body["version"]

    moved = await roster_version(api)
    same = await api.call("PUT", "/employees/1001", MARSH | {"last_name": " Marsh-Lee "})
    assert same.json() == replaced.json()
    assert await roster_version(api) == moved == 2


async def test_unknown_job_class_is_created_without_requirement(api: Api) -> None:
    await api.call("PUT", "/employees/1001", MARSH | {"job_class": "AIDE"})
    created = (await api.get("/job-classes/AIDE")).json()
    assert created["certification_required"] is False


async def test_keys_come_from_legal_names_where_there_are_any(api: Api) -> None:
    await api.call(
        "PUT", "/employees/1", MARSH | {"state_staff_id": " 0045127 ", "legal_first_name": "Katherine  Jo"}
    )
    employee = await stored(api, "1")
    assert (employee.educator_key, employee.name_key) == ("45127", "marsh\x1fkatherine jo")
    await api.call("PUT", "/employees/1", MARSH | {"legal_last_name": "MÁRSH"})
    employee = await stored(api, "1")
    assert (employee.educator_key, employee.name_key) == (None, "mársh\x1fkathryn")


async def test_a_number_may_have_a_slash(api: Api) -> None:
    await api.call("POST", "/employees/bulk", {"items": [item("A/1", job_class="K/1")]})
    assert (await api.get("/employees/A%2F1")).json()["employee_number"] == "A/1"
    assert (await api.get("/job-classes/K%2F1")).json()["code"] == "K/1"
    assert (await api.call("DELETE", "/employees/A%2F1")).status_code == 204


async def test_key_in_body_may_not_differ(api: Api) -> None:
    assert (await api.call("PUT", "/employees/1001", item("1001"))).status_code == 201
    assert places(await api.call("PUT", "/employees/1001", item("1002"))) == [["body", "employee_number"]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"last_name": ""}, "last_name"),
        ({"last_name": "  "}, "last_name"),
        ({"last_name": "x" * 201}, "last_name"),
        ({"last_name": 5}, "last_name"),
        ({"first_name": "A\x00B"}, "first_name"),
        ({"first_name": "A\nB"}, "first_name"),
        ({"first_name": "\ud800"}, "first_name"),
        ({"status": "retired"}, "status"),
        ({"status": None}, "status"),
        ({"job_class": ""}, "job_class"),
        ({"state_staff_id": "1" * 65}, "state_staff_id"),
        ({"nickname": "Kat"}, "nickname"),
    ],
)
async def test_bad_values_are_located(api: Api, change: dict[str, Any], field: str) -> None:
    assert places(await api.call("PUT", "/employees/1001", MARSH | change)) == [["body", field]]
    assert places(await api.call("POST", "/employees/bulk", {"items": [item("1"), item("2", **change)]})) == [
        ["body", "items", 1, field]
    ]
    assert (await api.get("/employees")).json()["items"] == []


async def test_if_match(api: Api) -> None:
    problem(
        await api.call("PUT", "/employees/1", MARSH, headers={"If-Match": '"1"'}), 412, "precondition-failed"
    )
    old = (await api.call("PUT", "/employees/1", MARSH)).headers["ETag"]
    new = await api.call("PUT", "/employees/1", MARSH | {"first_name": "Kit"}, headers={"If-Match": old})
    assert new.status_code == 200
    for stale in (old, "W/" + new.headers["ETag"], "nonsense"):
        for method, body in (("PUT", MARSH), ("DELETE", None)):
            refused = await api.call(method, "/employees/1", body, headers={"If-Match": stale})
            problem(refused, 412, "precondition-failed")
    assert (await api.get("/employees/1")).json()["first_name"] == "Kit"
    gone = await api.call("DELETE", "/employees/1", headers={"If-Match": f'"0", {new.headers["ETag"]}'})
    assert gone.status_code == 204


async def test_delete_unless_certified(api: Api) -> None:
    await api.call("PUT", "/employees/1", MARSH)
    employee = await stored(api, "1")
    assert employee.id is not None
    await api.add(
        Certification(
            district_id=HERE,
            public_id=uuid4(),
            employee_id=employee.id,
            license_number="1",
            status="ACT",
            source=RecordSource.IMPORT,
            updated_by="kmarsh",
            version=1,
        )
    )
    detail = problem(await api.call("DELETE", "/employees/1"), 409, "conflict")["detail"]
    assert "holds certifications" in detail
    await api.call("PUT", "/employees/2", MARSH)
    before = await roster_version(api)
    assert (await api.call("DELETE", "/employees/2")).status_code == 204
    assert await roster_version(api) == before + 1
    problem(await api.get("/employees/2"), 404, "not-found")
    problem(await api.call("DELETE", "/employees/2"), 404, "not-found")


async def test_another_district_sees_nothing(api: Api) -> None:
    await api.call("PUT", "/employees/1", MARSH)
    assert (await api.get("/employees", district=THERE)).json()["items"] == []
    problem(await api.get("/employees/1", district=THERE), 404, "not-found")
    problem(await api.call("DELETE", "/employees/1", district=THERE), 404, "not-found")
    other = await api.call("PUT", "/employees/1", MARSH | {"first_name": "Other"}, district=THERE)
    assert other.status_code == 201
    assert (await api.get("/employees/1")).json()["first_name"] == "Kathryn"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.HR])
async def test_only_admins_write(api: Api, role: Role) -> None:
    for method, path, body in (
        ("PUT", "/employees/1", MARSH),
        ("DELETE", "/employees/1", None),
        ("POST", "/employees/bulk", {"items": []}),
    ):
        problem(await api.call(method, path, body, role=role), 403, "forbidden")
    assert (await api.get("/employees", role=role)).status_code == 200


async def test_bulk_counts_and_is_repeatable(api: Api) -> None:
    items = [item("1"), item("2", job_class="A"), item("3", job_class="B")]
    assert (await api.call("POST", "/employees/bulk", {"items": items})).json() == {
        "created": 3,
        "updated": 0,
        "unchanged": 0,
    }
    items = [item("1"), item("2", job_class="C"), item("4", job_class="C")]
    assert (await api.call("POST", "/employees/bulk", {"items": items})).json() == {
        "created": 1,
        "updated": 1,
        "unchanged": 1,
    }
    moved = await roster_version(api)
    versions = {each["version"] for each in (await api.get("/employees")).json()["items"]}
    assert (await api.call("POST", "/employees/bulk", {"items": items})).json()["unchanged"] == 3
    assert await roster_version(api) == moved == 2
    assert {each["version"] for each in (await api.get("/employees")).json()["items"]} == versions
    assert len(versions) == 2
    assert (await api.call("POST", "/employees/bulk", {"items": []})).json()["created"] == 0


async def test_bulk_locates_duplicates_and_bad_values_together(api: Api) -> None:
    items = [
        item("1"),
        item("2", status="gone"),
        item(" 1 "),
        item("3", last_name="\x07"),
        "x",
        item("1", zip="05401"),
    ]
    assert places(await api.call("POST", "/employees/bulk", {"items": items})) == [
        ["body", "items", 1, "status"],
        ["body", "items", 2, "employee_number"],
        ["body", "items", 3, "last_name"],
        ["body", "items", 4],
        ["body", "items", 5, "employee_number"],
        ["body", "items", 5, "zip"],
    ]
    assert (await api.get("/employees")).json()["items"] == []


async def test_bulk_of_ten_thousand(api: Api) -> None:
    items = [item(f"{n:05}", state_staff_id=f"{n}", job_class=f"C{n % 20}") for n in range(10_000)]
    assert (await api.call("POST", "/employees/bulk", {"items": items})).json()["created"] == 10_000
    changed = [each | {"last_name": "Lee"} for each in items]
    assert (await api.call("POST", "/employees/bulk", {"items": changed})).json()["updated"] == 10_000
    assert (await stored(api, "09999")).last_name == "Lee"
    assert places(await api.call("POST", "/employees/bulk", {"items": [*items, item("x")]})) == [
        ["body", "items"]
    ]


async def test_writers_at_once_neither_stop_nor_lose_each_other(api: Api) -> None:
    items = [item(f"{n}", job_class="A") for n in range(300)]
    writes = [api.call("POST", "/employees/bulk", {"items": items[::step]}) for step in (1, -1, 2, -2)] + [
        api.call("PUT", "/employees/0", MARSH | {"job_class": "B"}) for _ in range(4)
    ]
    answers = await asyncio.gather(*writes)
    assert {answer.status_code for answer in answers} <= {200, 201}
    counts = [answer.json() for answer in answers[:4]]
    assert 299 <= sum(count["created"] for count in counts) <= 300
