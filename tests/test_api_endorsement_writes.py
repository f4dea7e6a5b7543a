"""Endorsements written by hand: told apart, one primary an employee, logged (I4, I5)."""

from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from app.constants import Role
from app.storage.record_ids import endorsement_id
from tests.support.api import HERE, THERE, Api, places, problem
from tests.support.imports import endorsement as table
from tests.support.imports import select
from tests.support.records import (
    CODE,
    add_certification,
    add_endorsement,
    content,
    edit_version,
    edits,
    hire,
    imported,
)

FIELDS = ("description", "issue_date", "expiration_date", "limitation")
STAMP = ("updated_by", "updated_at", "version")


@pytest.fixture
async def licence(api: Api) -> dict[str, Any]:
    await hire(api, "E1", "E2")
    return await add_certification(api)


async def read(api: Api, record: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"/endorsements/{record['id']}")).json()
    return found


async def patch(api: Api, record: dict[str, Any], change: dict[str, Any]) -> Any:
    return await api.call("PATCH", f"/endorsements/{record['id']}", change)


def ids(licence: dict[str, Any], code: str, *ordinals: int) -> list[str]:
    return [str(endorsement_id(UUID(licence["id"]), code, ordinal)) for ordinal in ordinals]


async def test_an_endorsement_is_added(api: Api, licence: dict[str, Any]) -> None:
    body = {"certification_id": licence["id"], **CODE, "primary": True}
    response = await api.call("POST", "/endorsements", body, role=Role.HR)
    assert response.status_code == 201, response.text
    added = response.json()
    assert added == body | {
        "id": ids(licence, "11", 1)[0],
        "employee_number": "E1",
        "source": "manual",
        "run_id": None,
        **content(added, *STAMP),
    }
    assert added["updated_by"] == "kmarsh"
    assert added["version"] > licence["version"]
    assert response.headers["Location"] == f"/api/v1/endorsements/{added['id']}"
    assert response.headers["ETag"] == f'"{added["version"]}"'
    assert await read(api, added) == added
    assert (await edits(api))[1:] == [
        {
            "district_id": HERE,
            "edited_by": "kmarsh",
            "action": "added",
            "record": "endorsement",
            "public_id": UUID(added["id"]),
            "employee_number": "E1",
            "license_number": "L1",
            "license_type": "Level II",
            "code": "11",
            "before": None,
            "after": content(CODE, *FIELDS),
        }
    ]
    assert await edit_version(api) == 2


async def test_only_certification_and_code_are_needed(api: Api, licence: dict[str, Any]) -> None:
    texts = {"description": " a\n\tb ", "limitation": "  "}
    body = {"certification_id": licence["id"], "employee_number": "E1", "code": " 1  1 "}
    added = (await api.call("POST", "/endorsements", body | texts)).json()
    assert content(added, *CODE) == {
        "code": "1 1",
        "description": "a\n\tb",
        "issue_date": None,
        "expiration_date": None,
        "limitation": None,
        "primary": False,
    }


WRONG: dict[str, tuple[str, Any]] = {
    "unknown certification": ("certification_id", str(uuid4())),
    "not an id": ("certification_id", "L1"),
    "no certification": ("certification_id", None),
    "somebody else's": ("employee_number", "E2"),
    "a blank code": ("code", " "),
    "no code": ("code", None),
    "a code that is too long": ("code", "1" * 101),
    "a control character": ("code", "1\x1b1"),
    "a description that is too long": ("description", "x" * 4001),
    "a NUL": ("description", "x\x00"),
    "half a character": ("limitation", "\ud800"),
    "a number for a truth value": ("primary", 1),
    "no truth value": ("primary", None),
    "dates in the wrong order": ("expiration_date", "2025-06-30"),
    "year 0": ("issue_date", "0001-01-01"),
    "a read-only field": ("source", "manual"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_refused(api: Api, licence: dict[str, Any], case: str) -> None:
    name, value = WRONG[case]
    body = {"certification_id": licence["id"], **CODE, name: value}
    assert places(await api.call("POST", "/endorsements", body)) == [["body", name]]
    assert await select(api.factory, sa.select(table)) == []
    assert await edit_version(api) == 1


async def test_a_certification_of_another_district_is_unknown(api: Api, licence: dict[str, Any]) -> None:
    body = {"certification_id": licence["id"], **CODE}
    refused = await api.call("POST", "/endorsements", body, district=THERE)
    assert places(refused) == [["body", "certification_id"]]


async def test_one_that_exists_is_named(api: Api, licence: dict[str, Any]) -> None:
    first = await add_endorsement(api, licence, primary=True)
    same = {"certification_id": licence["id"], **CODE, "description": "Other words", "primary": True}
    refused = await api.call("POST", "/endorsements", same)
    answer = problem(refused, 409, "conflict")
    assert answer["id"] == first["id"]
    assert first["id"] in answer["detail"]
    second = await add_endorsement(api, licence, limitation=None)
    for change in ({"limitation": " Grades 7-12 "}, {"limitation": "Grades 7-12", "primary": True}):
        assert problem(await patch(api, second, change), 409, "conflict")["id"] == first["id"]
    assert await read(api, second) == second
    assert (await patch(api, first, {"description": None})).status_code == 200


async def test_each_of_a_code_has_the_smallest_free_ordinal(api: Api, licence: dict[str, Any]) -> None:
    added = [await add_endorsement(api, licence, limitation=text) for text in ("z", "a", "m")]
    other = await add_endorsement(api, licence, code="12")
    assert [each["id"] for each in added] == ids(licence, "11", 1, 2, 3)
    assert [other["id"]] == ids(licence, "12", 1)
    await api.call("DELETE", f"/endorsements/{added[1]['id']}")
    again = [await add_endorsement(api, licence, issue_date=None, limitation=text) for text in ("z", "b")]
    assert [each["id"] for each in again] == ids(licence, "11", 2, 4)
    assert again[0]["version"] > added[1]["version"]


async def test_a_change_makes_it_manual(api: Api, licence: dict[str, Any]) -> None:
    before = await imported(api, "endorsements", await add_endorsement(api, licence))
    change = {"description": "Physics", "issue_date": None, "limitation": "", "primary": True}
    after = (await patch(api, before, change)).json()
    assert after == before | change | {
        "limitation": None,
        "source": "manual",
        "run_id": None,
        **content(after, *STAMP),
    }
    assert after["updated_by"] == "kmarsh"
    assert after["updated_at"] > before["updated_at"]
    assert after["version"] > before["version"]
    assert await read(api, after) == after
    entry = (await edits(api))[-1]
    assert (entry["action"], entry["record"], entry["code"]) == ("changed", "endorsement", "11")
    assert entry["before"] == content(before, *FIELDS)
    assert entry["after"] == content(after, *FIELDS)
    assert await edit_version(api) == 3


async def test_a_choice_of_primary_is_no_edit(api: Api, licence: dict[str, Any]) -> None:
    before = await imported(api, "endorsements", await add_endorsement(api, licence))
    known = await edits(api)
    for number, choice in enumerate((True, False), 3):
        after = (await patch(api, before, {**content(before, *FIELDS), "primary": choice})).json()
        assert after == before | {"primary": choice, **content(after, *STAMP)}
        assert (after["source"], after["run_id"]) == ("import", before["run_id"])
        assert after["updated_by"] == "kmarsh"
        assert after["version"] > before["version"]
        assert await edit_version(api) == number
        before = after
    assert await edits(api) == known


async def test_what_changes_nothing_writes_nothing(api: Api, licence: dict[str, Any]) -> None:
    record = await imported(api, "endorsements", await add_endorsement(api, licence, limitation=None))
    everything = {**content(record, "certification_id", "employee_number", *CODE), "limitation": " "}
    for body in ({}, {"primary": False}, everything):
        response = await patch(api, record, body)
        assert response.json() == record
        assert response.headers["ETag"] == f'"{record["version"]}"'
    assert len(await edits(api)) == await edit_version(api) == 2


async def test_one_primary_an_employee(api: Api, licence: dict[str, Any]) -> None:
    other = await add_certification(api, license_number="L2")
    first = await add_endorsement(api, licence, primary=True)
    second = await add_endorsement(api, other)
    third = {"certification_id": other["id"], **CODE, "code": "12", "primary": True}
    for response in (
        await patch(api, second, {"primary": True}),
        await api.call("POST", "/endorsements", third),
    ):
        assert places(response) == [["body", "primary"]]
        assert first["id"] in response.json()["errors"][0]["msg"]
    assert await read(api, second) == second
    assert (await patch(api, first, {"limitation": "x", "primary": True})).json()["primary"] is True
    await patch(api, first, {"primary": False})
    assert (await patch(api, second, {"primary": True})).json()["primary"] is True
    theirs = await add_certification(api, employee_number="E2")
    assert (await add_endorsement(api, theirs, primary=True))["primary"] is True


@pytest.mark.parametrize(
    "change",
    [
        {"certification_id": str(uuid4())},
        {"code": "12", "primary": True},
        {"employee_number": "E2", "code": "12"},
    ],
    ids=["certification", "code", "two"],
)
async def test_the_identity_cannot_be_changed(
    api: Api, licence: dict[str, Any], change: dict[str, Any]
) -> None:
    record = await add_endorsement(api, licence)
    response = await patch(api, record, change)
    assert sorted(places(response)) == sorted(["body", name] for name in change if name != "primary")
    assert "delete this one and add another" in response.json()["errors"][0]["msg"]
    assert await read(api, record) == record
    for name in ("id", "source", "run_id", *STAMP):
        assert places(await patch(api, record, {name: record[name]})) == [["body", name]]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [({"expiration_date": "2025-06-30"}, "expiration_date"), ({"issue_date": "2099-07-01"}, "issue_date")],
    ids=str,
)
async def test_dates_stay_in_order(
    api: Api, licence: dict[str, Any], change: dict[str, Any], wrong: str
) -> None:
    record = await add_endorsement(api, licence)
    assert places(await patch(api, record, change)) == [["body", wrong]]
    assert await read(api, record) == record


async def test_it_is_deleted(api: Api, licence: dict[str, Any]) -> None:
    record, kept = await add_endorsement(api, licence), await add_endorsement(api, licence, code="12")
    path = f"/endorsements/{record['id']}"
    for stale in ({"description": "x"}, None):
        method = "PATCH" if stale else "DELETE"
        response = await api.call(method, path, stale, headers={"If-Match": f'"{licence["version"]}"'})
        problem(response, 412, "precondition-failed")
    right = {"If-Match": f'"{record["version"]}"'}
    response = await api.call("DELETE", path, role=Role.HR, headers=right)
    assert (response.status_code, response.content) == (204, b"")
    problem(await api.call("DELETE", path), 404, "not-found")
    assert await read(api, kept) == kept
    assert (await api.get(f"/certifications/{licence['id']}")).json() == licence
    entry = (await edits(api))[-1]
    assert (entry["action"], entry["public_id"]) == ("deleted", UUID(record["id"]))
    assert (entry["before"], entry["after"]) == (content(record, *FIELDS), None)
    assert await edit_version(api) == 4


async def test_who_may_write(api: Api, licence: dict[str, Any]) -> None:
    record = await add_endorsement(api, licence)
    path = f"/endorsements/{record['id']}"
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/endorsements", {"wrong": 1}),
        ("PATCH", path, {"wrong": 1}),
        ("DELETE", path, None),
    ]
    for method, address, body in calls:
        problem(await api.call(method, address, body, role=None), 401, "unauthorized")
        problem(await api.call(method, address, body, role=Role.VIEWER), 403, "forbidden")
    for identifier in (record["id"], uuid4()):
        for method, body in (("PATCH", {"description": "x"}), ("DELETE", None)):
            response = await api.call(method, f"/endorsements/{identifier}", body, district=THERE)
            problem(response, 404, "not-found")
    assert await read(api, record) == record
