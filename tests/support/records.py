"""Records that a person writes over HTTP, and what the database then holds of it."""

from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from app.models import District, RecordEdit
from app.models.base import utc_now
from tests.support.api import HERE, Api
from tests.support.imports import certification, endorsement, select, write
from tests.support.imports import employee as person

record_edit = RecordEdit.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

LICENCE: dict[str, Any] = {
    "employee_number": "E1",
    "license_number": "L1",
    "license_type": "Level II",
    "status": "ACT",
    "issue_date": "2025-07-01",
    "expiration_date": "2099-06-30",
}
CODE: dict[str, Any] = {
    "code": "11",
    "description": "Mathematics",
    "issue_date": "2025-07-01",
    "expiration_date": "2099-06-30",
    "limitation": "Grades 7-12",
    "primary": False,
}


async def hire(api: Api, *numbers: str, district: str = HERE, **more: Any) -> None:
    """Add Ann Smith with each of the numbers; the state knows the first as 1, the second as 2 …"""
    items = [person(number, str(at), "Smith", "Ann", **more) for at, number in enumerate(numbers, 1)]
    await api.factory.employees.put_all(district, items)


async def add_certification(api: Api, district: str = HERE, **fields: Any) -> dict[str, Any]:
    """Add a licence of E1, but for `fields`."""
    response = await api.call("POST", "/certifications", LICENCE | fields, district=district)
    assert response.status_code == 201, response.text
    added: dict[str, Any] = response.json()
    return added


async def add_endorsement(
    api: Api, certification: dict[str, Any], district: str = HERE, **fields: Any
) -> dict[str, Any]:
    """Add mathematics to a certification, but for `fields`."""
    body = {"certification_id": certification["id"], **CODE, **fields}
    response = await api.call("POST", "/endorsements", body, district=district)
    assert response.status_code == 201, response.text
    added: dict[str, Any] = response.json()
    return added


async def edits(api: Api) -> list[dict[str, Any]]:
    """The log of manual writes of both districts, oldest first, without keys and instants."""
    columns = [column for column in record_edit.c if column.name not in ("id", "at", "run_id")]
    return await select(api.factory, sa.select(*columns).order_by(record_edit.c.id))


async def edit_version(api: Api, district: str = HERE) -> int:
    """How often records of the district were written by hand."""
    found = await select(api.factory, sa.select(District.edit_version).where(District.id == district))  # type: ignore[call-overload] # SQLModel types columns as values
    return int(found[0]["edit_version"])


async def imported(api: Api, noun: str, record: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Make a record look as an import left it, with other columns if `values` has some."""
    table = certification if noun == "certifications" else endorsement
    marks = {"source": "import", "run_id": uuid4(), "updated_by": "importer", "updated_at": utc_now()}
    this = table.c.public_id == UUID(record["id"])
    await write(api.factory, sa.update(table).where(this).values(marks | values))
    found: dict[str, Any] = (await api.get(f"/{noun}/{record['id']}")).json()
    return found


def content(record: dict[str, Any], *names: str) -> dict[str, Any]:
    """Some fields of a record."""
    return {name: record[name] for name in names}
