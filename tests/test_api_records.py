"""Certifications, endorsements and retained files over HTTP, and the pages of lists."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.constants import EmployeeStatus, FileState, RecordSource, Role
from app.models import Certification, Employee, Endorsement, ImportFile
from tests.support.api import HERE, THERE, Api, places, problem

AT = datetime(2026, 11, 22, 7, 31, 4, tzinfo=UTC)
RUN = uuid4()
SHARED: dict[str, Any] = {
    "issue_date": date(2024, 7, 1),
    "expiration_date": None,
    "source": RecordSource.IMPORT,
    "run_id": RUN,
    "updated_by": "kmarsh",
    "updated_at": AT,
    "version": 7,
}
SHOWN = SHARED | {
    "issue_date": "2024-07-01",
    "source": "import",
    "run_id": str(RUN),
    "updated_at": "2026-11-22T07:31:04Z",
}


async def add_licence(api: Api, number: str, district: str = HERE) -> tuple[UUID, UUID]:
    """Store an employee with a certification and its endorsement; return their public ids."""
    employee = Employee(
        district_id=district,
        employee_number=number,
        last_name="Marsh",
        first_name="Kathryn",
        status=EmployeeStatus.ACTIVE,
        version=1,
    )
    await api.add(employee)
    assert employee.id is not None
    certification = Certification(
        district_id=district,
        public_id=uuid4(),
        employee_id=employee.id,
        license_number=f"L{number}",
        license_type="Level II",
        status="ACT",
        **SHARED,
    )
    await api.add(certification)
    assert certification.id is not None
    endorsement = Endorsement(
        district_id=district,
        public_id=uuid4(),
        certification_id=certification.id,
        employee_id=employee.id,
        code="11",
        description="Mathematics",
        is_primary=True,
        **SHARED,
    )
    await api.add(endorsement)
    return certification.public_id, endorsement.public_id


async def test_records_as_callers_see_them(api: Api) -> None:
    licence, endorsement = await add_licence(api, "1")
    read = await api.get(f"/certifications/{licence}", role=Role.VIEWER)
    assert read.headers["ETag"] == '"7"'
    assert read.json() == SHOWN | {
        "id": str(licence),
        "employee_number": "1",
        "license_number": "L1",
        "license_type": "Level II",
        "status": "ACT",
    }
    assert (await api.get("/certifications")).json() == {"items": [read.json()], "next_cursor": None}
    read = await api.get(f"/endorsements/{endorsement}", role=Role.VIEWER)
    assert read.headers["ETag"] == '"7"'
    assert read.json() == SHOWN | {
        "id": str(endorsement),
        "certification_id": str(licence),
        "employee_number": "1",
        "code": "11",
        "description": "Mathematics",
        "limitation": None,
        "primary": True,
    }
    assert (await api.get("/endorsements")).json() == {"items": [read.json()], "next_cursor": None}


@pytest.mark.parametrize("noun", ["certifications", "endorsements"])
async def test_another_district_and_unknown_ids(api: Api, noun: str) -> None:
    ids = await add_licence(api, "1")
    identifier = ids[0] if noun == "certifications" else ids[1]
    assert (await api.get(f"/{noun}", district=THERE)).json()["items"] == []
    problem(await api.get(f"/{noun}/{identifier}", district=THERE), 404, "not-found")
    problem(await api.get(f"/{noun}/{uuid4()}"), 404, "not-found")
    assert (await api.get(f"/{noun}/1")).status_code == 422
    problem(await api.get(f"/{noun}", role=None), 401, "unauthorized")
    problem(await api.get(f"/{noun}", role=Role.OPS), 403, "forbidden")


@pytest.mark.parametrize("noun", ["certifications", "endorsements"])
async def test_filter_by_employee(api: Api, noun: str) -> None:
    await add_licence(api, "1")
    await add_licence(api, "2")
    await add_licence(api, "1", district=THERE)
    for number, expected in (("1", ["1"]), ("2", ["2"]), ("3", [])):
        items = (await api.get(f"/{noun}", params={"employee_number": number})).json()["items"]
        assert [each["employee_number"] for each in items] == expected
    for wrong in ({"employe_number": "1"}, {"employee_number": "1\x00"}, {"employee_number": ""}):
        assert places(await api.get(f"/{noun}", params=wrong)) == [["query", next(iter(wrong))]]


async def test_files_that_are_retained(api: Api) -> None:
    def file(name: str, state: FileState, district: str, day: int) -> ImportFile:
        return ImportFile(
            district_id=district,
            name=name,
            datestamp=f"2026-11-{day:02}T00:00:00",
            sha256="0" * 64,
            size=3,
            stored_as="x",
            state=state,
            run_id=RUN,
            fetched_at=AT + timedelta(hours=day),
        )

    await api.add(
        file("older", FileState.RETAINED, HERE, 20),
        file("newer", FileState.RETAINED, HERE, 21),
        file("refused", FileState.QUARANTINED, HERE, 22),
        file("theirs", FileState.RETAINED, THERE, 23),
    )
    page = (await api.get("/import-files", role=Role.VIEWER, params={"limit": 1})).json()
    rest = (await api.get("/import-files", params={"cursor": page["next_cursor"]})).json()
    newer, older = page["items"] + rest["items"]
    assert newer == {
        "id": newer["id"],
        "name": "newer",
        "datestamp": "2026-11-21T00:00:00",
        "sha256": "0" * 64,
        "size": 3,
        "state": "retained",
        "fetched_at": "2026-11-23T04:31:04Z",
        "run_id": str(RUN),
    }
    assert older["name"] == "older"
    assert rest["next_cursor"] is None


async def test_pages_have_every_row_once_while_rows_come_and_go(api: Api) -> None:
    for number in range(20, 31):
        await api.call("PUT", f"/job-classes/C{number}", {})
    seen, cursor = [], None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/job-classes", params=query)).json()
        seen += [each["code"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        await api.call("PUT", f"/job-classes/A{len(seen)}", {})  # before the page: must move nothing
        await api.call("DELETE", f"/job-classes/{seen[-1]}")  # the row that the cursor stands on
    assert seen == [f"C{number}" for number in range(20, 31)]


async def test_tasks_of_one_instant_are_paged_too(api: Api) -> None:
    for number in range(5):
        await api.call("POST", "/tasks", {"description": f"T{number}", "status": "inactive"})
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while query.get("cursor", "") is not None:
        page = (await api.get("/tasks", params=query)).json()
        seen += [each["description"] for each in page["items"]]
        query["cursor"] = page["next_cursor"]
    assert seen == [f"T{number}" for number in reversed(range(5))]


@pytest.mark.parametrize("limit", ["0", "201", "ten", "-1", "9" * 30])
async def test_bad_limits(api: Api, limit: str) -> None:
    assert places(await api.get("/employees", params={"limit": limit})) == [["query", "limit"]]


@pytest.mark.parametrize(
    "noun", ["tasks", "employees", "job-classes", "connection-events", "import-files", "endorsements"]
)
async def test_unknown_parameters_are_named(api: Api, noun: str) -> None:
    assert places(await api.get(f"/{noun}", params={"limt": "5"})) == [["query", "limt"]]
