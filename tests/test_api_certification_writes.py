"""Certifications written by hand: who may, what is refused, what is stored and logged (I5, I6)."""

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from app.constants import EmployeeStatus, Role
from app.storage.record_ids import certification_id
from tests.support.api import HERE, THERE, Api, places, problem
from tests.support.imports import certification as table
from tests.support.imports import endorsement as endorsement_table
from tests.support.imports import select
from tests.support.records import (
    LICENCE,
    add_certification,
    add_endorsement,
    content,
    edit_version,
    edits,
    hire,
    imported,
)

FIELDS = ("status", "issue_date", "expiration_date")
LOGGED = {
    "district_id": HERE,
    "edited_by": "kmarsh",
    "record": "certification",
    "employee_number": "E1",
    "license_number": "L1",
    "license_type": "Level II",
    "code": None,
}


async def test_a_licence_is_added(api: Api) -> None:
    await hire(api, "E1")
    response = await api.call("POST", "/certifications", LICENCE, role=Role.HR)
    assert response.status_code == 201, response.text
    added = response.json()
    identifier = certification_id(HERE, "E1", "L1", "Level II")
    assert added == LICENCE | {
        "id": str(identifier),
        "source": "manual",
        "run_id": None,
        "updated_by": "kmarsh",
        "updated_at": added["updated_at"],
        "version": added["version"],
    }
    assert response.headers["Location"] == f"/api/v1/certifications/{identifier}"
    assert response.headers["ETag"] == f'"{added["version"]}"'
    assert (await api.client.get(response.headers["Location"])).status_code == 401
    assert (await api.get(f"/certifications/{identifier}")).json() == added
    after = content(LICENCE, *FIELDS)
    log = {**LOGGED, "action": "added", "public_id": identifier, "before": None, "after": after}
    assert await edits(api) == [log]
    assert await edit_version(api) == 1


async def test_only_number_and_status_are_needed(api: Api) -> None:
    await hire(api, "E1", status=EmployeeStatus.TERMINATED)
    body = {"employee_number": " E1 ", "license_number": "\t l  1\u2003x\n", "status": " a  ct "}
    added = (await api.call("POST", "/certifications", body)).json()
    assert content(added, *LICENCE) == {
        "employee_number": "E1",
        "license_number": "l 1 x",
        "license_type": "",
        "status": "A CT",
        "issue_date": None,
        "expiration_date": None,
    }
    assert added["id"] == str(certification_id(HERE, "E1", "l 1 x", ""))


WRONG: dict[str, tuple[str, Any]] = {
    "blank": ("license_number", " \t"),
    "too long": ("license_number", "x" * 101),
    "a control character": ("license_number", "L\x001"),
    "half a character": ("license_number", "\ud800"),
    "not a text": ("license_number", 1),
    "no number": ("license_number", None),
    "a type that is too long": ("license_type", "x" * 101),
    "a control character in a type": ("license_type", "\x07"),
    "blank status": ("status", ""),
    "a status that is too long": ("status", "\u00df" * 33),
    "no such day": ("issue_date", "2025-02-29"),
    "year 0": ("issue_date", "1899-12-31"),
    "never": ("expiration_date", "9999-12-31"),
    "an instant": ("expiration_date", "2025-07-01T00:00:00Z"),
    "a read-only field": ("version", 3),
    "dates in the wrong order": ("expiration_date", "2025-06-30"),
    "unknown employee": ("employee_number", "E2"),
    "no employee": ("employee_number", ""),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_refused(api: Api, case: str) -> None:
    await hire(api, "E1")
    await hire(api, "E1", "E2", district=THERE)
    name, value = WRONG[case]
    assert places(await api.call("POST", "/certifications", LICENCE | {name: value})) == [["body", name]]
    assert await select(api.factory, sa.select(table)) == []
    assert await edits(api) == []
    assert await edit_version(api) == 0


async def test_longest_texts(api: Api) -> None:
    await hire(api, "E1")
    longest = {"license_number": "x" * 100, "license_type": "y" * 100, "status": "Z" * 64}
    sent = {name: f" {text} " for name, text in longest.items()}
    assert content(await add_certification(api, **sent, expiration_date="2025-07-01"), *longest) == longest


async def test_one_that_exists_is_named(api: Api) -> None:
    await hire(api, "E1", "E2")
    await hire(api, "E1", district=THERE)
    added = await add_certification(api)
    again = await api.call("POST", "/certifications", LICENCE | {"license_number": " L1 ", "status": "UDR"})
    answer = problem(again, 409, "conflict")
    assert answer["id"] == added["id"]
    assert added["id"] in answer["detail"]
    assert again.headers["Link"] == f'</api/v1/certifications/{added["id"]}>; rel="related"'
    assert (await api.get(f"/certifications/{added['id']}")).json() == added
    for other in ({"license_number": "l1"}, {"license_type": ""}, {"employee_number": "E2"}):
        assert (await add_certification(api, **other))["id"] != added["id"]
    assert (await add_certification(api, THERE))["id"] != added["id"]


async def test_a_change_makes_it_manual(api: Api) -> None:
    await hire(api, "E1")
    before = await imported(api, "certifications", await add_certification(api))
    response = await api.call(
        "PATCH", f"/certifications/{before['id']}", {"status": "udr", "expiration_date": None}, role=Role.HR
    )
    after = response.json()
    assert after == before | {
        "status": "UDR",
        "expiration_date": None,
        "source": "manual",
        "run_id": None,
        "updated_by": "kmarsh",
        "updated_at": after["updated_at"],
        "version": after["version"],
    }
    assert after["updated_at"] > before["updated_at"]
    assert after["version"] > before["version"]
    assert response.headers["ETag"] == f'"{after["version"]}"'
    assert (await api.get(f"/certifications/{before['id']}")).json() == after
    assert (await edits(api))[1:] == [
        {
            **LOGGED,
            "action": "changed",
            "public_id": UUID(before["id"]),
            "before": content(before, *FIELDS),
            "after": content(after, *FIELDS),
        }
    ]
    assert await edit_version(api) == 2


async def test_what_changes_nothing_writes_nothing(api: Api) -> None:
    await hire(api, "E1")
    record = await imported(api, "certifications", await add_certification(api))
    everything = content(record, *LICENCE)
    for body in ({}, {"status": " act"}, everything):
        response = await api.call("PATCH", f"/certifications/{record['id']}", body)
        assert response.json() == record
        assert response.headers["ETag"] == f'"{record["version"]}"'
    assert len(await edits(api)) == 1
    assert await edit_version(api) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"employee_number": "E2"},
        {"license_number": "L2"},
        {"license_type": "", "license_number": "L2"},
        {"license_type": "Level I", "status": "UDR"},
    ],
    ids=str,
)
async def test_the_identity_cannot_be_changed(api: Api, change: dict[str, str]) -> None:
    await hire(api, "E1", "E2")
    record = await add_certification(api)
    path = f"/certifications/{record['id']}"
    response = await api.call("PATCH", path, change)
    assert sorted(places(response)) == sorted(["body", name] for name in change if name != "status")
    assert "delete this one and add another" in response.json()["errors"][0]["msg"]
    assert (await api.get(path)).json() == record
    for name in ("id", "source", "run_id", "updated_by", "updated_at", "version"):
        assert places(await api.call("PATCH", path, {name: record[name]})) == [["body", name]]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"expiration_date": "2025-06-30"}, "expiration_date"),
        ({"issue_date": "2099-07-01"}, "issue_date"),
        ({"issue_date": "2030-01-02", "expiration_date": "2030-01-01"}, "expiration_date"),
        ({"issue_date": "2030-01-01", "expiration_date": "2030-01-01"}, None),
        ({"expiration_date": "2025-07-01"}, None),
        ({"issue_date": None}, None),
    ],
    ids=str,
)
async def test_dates_stay_in_order(api: Api, change: dict[str, Any], wrong: str | None) -> None:
    await hire(api, "E1")
    record = await add_certification(api)
    response = await api.call("PATCH", f"/certifications/{record['id']}", change)
    if wrong:
        assert places(response) == [["body", wrong]]
        assert (await api.get(f"/certifications/{record['id']}")).json() == record
    else:
        assert content(response.json(), *change) == change


async def test_dates_that_came_in_the_wrong_order_may_stay(api: Api) -> None:
    await hire(api, "E1")
    record = await imported(
        api, "certifications", await add_certification(api), expiration_date=date(2020, 1, 1)
    )
    path = f"/certifications/{record['id']}"
    changed = await api.call("PATCH", path, content(record, *LICENCE) | {"status": "UDR"})
    assert content(changed.json(), *FIELDS) == content(record, *FIELDS) | {"status": "UDR"}
    assert places(await api.call("PATCH", path, {"issue_date": "2021-01-01"})) == [["body", "issue_date"]]


async def test_if_match(api: Api) -> None:
    await hire(api, "E1")
    record = await add_certification(api)
    path = f"/certifications/{record['id']}"
    stale = {"If-Match": f'"{record["version"]}"'}
    current = await api.call("PATCH", path, {"status": "UDR"}, headers=stale)
    for change in ({"status": "EXP"}, {"status": "UDR"}, {"license_number": "L2"}):
        problem(await api.call("PATCH", path, change, headers=stale), 412, "precondition-failed")
    problem(await api.call("DELETE", path, headers=stale), 412, "precondition-failed")
    assert (await api.get(path)).json() == current.json()
    assert (await api.call("PATCH", path, {"status": "EXP"}, headers={"If-Match": "*"})).status_code == 200
    again = await add_certification(api, license_number="L2")
    right = {"If-Match": f'"{again["version"]}"'}
    assert (await api.call("DELETE", f"/certifications/{again['id']}", headers=right)).status_code == 204


async def test_a_deletion_takes_the_endorsements_along(api: Api) -> None:
    await hire(api, "E1")
    record, other = await add_certification(api), await add_certification(api, license_number="L2")
    first = await add_endorsement(api, record)
    second = await add_endorsement(api, record, code="12", primary=True, limitation=None)
    kept = await add_endorsement(api, other)
    known = len(await edits(api))
    response = await api.call("DELETE", f"/certifications/{record['id']}", role=Role.HR)
    assert (response.status_code, response.content) == (204, b"")
    problem(await api.get(f"/certifications/{record['id']}"), 404, "not-found")
    problem(await api.call("DELETE", f"/certifications/{record['id']}"), 404, "not-found")
    left = await select(api.factory, sa.select(endorsement_table.c.public_id))
    assert [str(row["public_id"]) for row in left] == [kept["id"]]
    names = ("description", "issue_date", "expiration_date", "limitation")
    log = [
        {
            **LOGGED,
            "action": "deleted",
            "public_id": UUID(gone["id"]),
            "record": "endorsement",
            "code": gone["code"],
            "before": content(gone, *names),
            "after": None,
        }
        for gone in (first, second)
    ]
    whole = {"action": "deleted", "public_id": UUID(record["id"]), "before": content(record, *FIELDS)}
    assert (await edits(api))[known:] == [*log, {**LOGGED, **whole, "after": None}]
    again = await add_certification(api)
    assert again["id"] == record["id"]
    assert again["version"] > record["version"]


async def test_who_may_write(api: Api) -> None:
    await hire(api, "E1")
    record = await add_certification(api)
    path = f"/certifications/{record['id']}"
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/certifications", {"wrong": 1}),
        ("PATCH", path, {"wrong": 1}),
        ("DELETE", path, None),
    ]
    for method, address, body in calls:
        problem(await api.call(method, address, body, role=None), 401, "unauthorized")
        for role in (Role.VIEWER, Role.OPS):
            problem(await api.call(method, address, body, role=role), 403, "forbidden")
    for identifier in (record["id"], uuid4()):
        for method, body in (("PATCH", {"status": "UDR"}), ("DELETE", None)):
            response = await api.call(method, f"/certifications/{identifier}", body, district=THERE)
            problem(response, 404, "not-found")
    assert places(await api.call("DELETE", "/certifications/1")) == [["path", "certification_id"]]
    assert (await api.get(path)).json() == record
