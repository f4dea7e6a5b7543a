"""What people do between two imports: records changed straight in the tables, deletions logged."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.constants import EditAction, RecordKind
from app.factory import Factory
from app.models import RecordEdit
from app.services import run_reporting
from app.settings import Settings
from tests.support.imports import (
    DISTRICT,
    add_district,
    certification,
    employee_table,
    empty_pdf,
    endorsement,
    finding,
    run_table,
    select,
    write,
)
from tests.support.oracle import Item, hashed
from tests.support.worlds import JOB_CLASSES, REQUIRED, Edit

edit_table = RecordEdit.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
BY_HAND = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def lenient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Factory]:
    """A service that takes a file however many of its rows are rejected."""
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)
    factory = Factory(settings.model_copy(update={"max_rejected_percent": 100.0}))
    await add_district(factory, DISTRICT)
    for code in filter(None, JOB_CLASSES):
        await factory.job_classes.put(DISTRICT, code, code, code in REQUIRED, None)
    yield factory
    await factory.close()


async def forget_everything(factory: Factory) -> None:
    """Leave nothing but the district and its job classes."""
    tables = (finding, run_table, edit_table, endorsement, certification, employee_table)
    await write(factory, *(sa.delete(table) for table in tables))


async def held(factory: Factory) -> dict[str, list[Item]]:
    """All records with the numbers and ids by which the oracle knows them."""
    number = employee_table.c.employee_number
    certifications = sa.select(certification, number).join_from(certification, employee_table)
    endorsements = (
        sa.select(endorsement, certification.c.public_id.label("certification"), number)
        .join_from(endorsement, certification)
        .join(employee_table, employee_table.c.id == endorsement.c.employee_id)
    )
    return {
        "certifications": await select(factory, certifications.order_by(certification.c.public_id)),
        "endorsements": await select(factory, endorsements.order_by(endorsement.c.public_id)),
    }


NEW_CONTENT: dict[str, Item] = {
    "certification": {"issue_date": date(2001, 1, 1)},
    "endorsement": {"limitation": "by hand"},
    "same": {},
}
OF_ENDORSEMENTS = ("endorsement", "primary", "delete endorsement")


async def change_by_hand(factory: Factory, edit: Edit) -> None:
    """Change, add, choose or delete a record straight in the tables."""
    mark = {"source": "manual", "updated_by": "hand", "updated_at": BY_HAND, "run_id": None}
    now = await held(factory)
    if edit.what == "new certification":
        people = await select(factory, sa.select(employee_table).order_by(employee_table.c.employee_number))
        await add_certification(factory, people[edit.pick % len(people)], now, mark)
        return
    table, kind = (certification, "certifications")
    if edit.what in OF_ENDORSEMENTS or (edit.what == "same" and edit.pick % 2):
        table, kind = (endorsement, "endorsements")
    if not now[kind]:
        return
    chosen = now[kind][edit.pick % len(now[kind])]
    this = table.c.id == chosen["id"]
    match edit.what:
        case "primary":
            whose = endorsement.c.employee_id == chosen["employee_id"]
            await write(
                factory,
                sa.update(endorsement).where(whose).values(is_primary=False),
                sa.update(endorsement).where(this).values(is_primary=True),
            )
        case "new endorsement":
            await add_endorsement(factory, chosen, edit, now, mark)
        case "delete certification":
            its = [item for item in now["endorsements"] if item["certification"] == chosen["public_id"]]
            await delete(factory, RecordKind.ENDORSEMENT, endorsement, chosen, its)
            await delete(factory, RecordKind.CERTIFICATION, certification, chosen, [chosen])
        case "delete endorsement":
            licences = {item["public_id"]: item for item in now["certifications"]}
            licence = licences[chosen["certification"]]
            await delete(factory, RecordKind.ENDORSEMENT, endorsement, licence, [chosen])
        case what:
            values = mark | NEW_CONTENT[what] | {"version": 0}
            await write(factory, sa.update(table).where(this).values(values))


async def add_certification(factory: Factory, person: Item, now: dict[str, list[Item]], mark: Item) -> None:
    public_id = hashed(DISTRICT, person["employee_number"], "L2", "Level II")
    if public_id in {item["public_id"] for item in now["certifications"]}:
        return
    values = {"district_id": DISTRICT, "public_id": public_id, "employee_id": person["id"], "version": 0}
    licence = {"license_number": "L2", "license_type": "Level II", "status": "ACT"}
    await write(factory, sa.insert(certification).values({**mark, **values, **licence}))


async def add_endorsement(
    factory: Factory, chosen: Item, edit: Edit, now: dict[str, list[Item]], mark: Item
) -> None:
    code, ordinal = ("2-05", "9-99")[edit.pick % 2], edit.pick // 2 + 1
    public_id = hashed(chosen["public_id"].hex, code, str(ordinal))
    if public_id in {item["public_id"] for item in now["endorsements"]}:
        return
    values = {
        "district_id": DISTRICT,
        "public_id": public_id,
        "certification_id": chosen["id"],
        "employee_id": chosen["employee_id"],
        "code": code,
        "is_primary": False,
        "version": 0,
    }
    await write(factory, sa.insert(endorsement).values({**mark, **values}))


async def delete(
    factory: Factory, record: RecordKind, table: sa.Table, licence: Item, items: list[Item]
) -> None:
    """Delete records of a licence as a person does, with a line in the log for each."""
    for item in items:
        entry = {
            "district_id": DISTRICT,
            "at": BY_HAND,
            "edited_by": "hand",
            "action": EditAction.DELETED,
            "record": record,
            "public_id": item["public_id"],
            "employee_number": licence["employee_number"],
            "license_number": licence["license_number"],
            "license_type": licence["license_type"],
            "code": item.get("code"),
        }
        await write(
            factory, sa.delete(table).where(table.c.id == item["id"]), sa.insert(edit_table).values(entry)
        )


async def deletions(factory: Factory) -> set[Any]:
    """The public ids of records whose deletion no import has come after, whether they are back or not."""
    query = sa.select(edit_table.c.public_id).where(edit_table.c.run_id.is_(None))
    return {row["public_id"] for row in await select(factory, query)}
