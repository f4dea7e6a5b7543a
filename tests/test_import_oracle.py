"""An import of any world equals the brute-force oracle: records, figures and lists, on both databases."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from app.factory import Factory
from app.models import Run
from app.services import run_execution
from app.settings import Settings
from tests.support.imports import (
    DISTRICT,
    TIMEZONE,
    USER,
    add_district,
    certification,
    employee_table,
    empty_pdf,
    endorsement,
    finding,
    lists,
    run_table,
    select,
    succeed,
    write,
    write_file,
)
from tests.support.oracle import CERTIFICATION, ENDORSEMENT, Item, Oracle, World, hashed
from tests.support.oracle_report import Report
from tests.support.worlds import JOB_CLASSES, REQUIRED, Edit, History, histories

EXAMPLES = 16
"""Histories tried on each database, each with two imports."""
ORDERED = ("skipped", "missing_certification", "expired", "other_name")
"""Lists whose order is part of what a reader sees: by employee."""


@pytest.fixture
async def lenient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Factory]:
    """A service that takes a file however many of its rows are rejected."""
    monkeypatch.setattr(run_execution, "render_pdf", empty_pdf)
    factory = Factory(settings.model_copy(update={"max_rejected_percent": 100.0}))
    await add_district(factory, DISTRICT)
    for code in filter(None, JOB_CLASSES):
        await factory.job_classes.put(DISTRICT, code, code, code in REQUIRED, None)
    yield factory
    await factory.close()


@given(history=histories())
@hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_an_import_of_any_world_equals_the_oracle(
    lenient: Factory, tmp_path: Path, history: History
) -> None:
    await write(lenient, *(sa.delete(t) for t in (finding, run_table, endorsement, certification)))
    await write(lenient, sa.delete(employee_table))
    await lenient.employees.put_all(DISTRICT, history.roster_before)
    await import_and_compare(lenient, tmp_path, history.roster_before, history.file_before)
    for edit in history.edits:
        await change_by_hand(lenient, edit)
    await lenient.employees.put_all(DISTRICT, history.roster)
    await import_and_compare(lenient, tmp_path, history.roster, history.file)


async def import_and_compare(
    factory: Factory, directory: Path, roster: list[Item], rows: list[list[str]]
) -> None:
    before = await held(factory)
    path = write_file(directory, rows)
    run = await succeed(factory, path)
    today = datetime.now(ZoneInfo(TIMEZONE)).date()
    oracle = Oracle(World(DISTRICT, today, roster, REQUIRED, rows, *before.values()))
    active = {person["employee_number"] for person in oracle.active}
    after = await held(factory)
    for record, wanted, fields in (
        ("certifications", oracle.certifications, ("license_number", "license_type", *CERTIFICATION)),
        ("endorsements", oracle.endorsements, ("certification", "code", "is_primary", *ENDORSEMENT)),
    ):
        compare_records(run, active, before[record], after[record], wanted, fields)
    report = Report(oracle)
    assert run.summary == report.summary
    await compare_lists(factory, run, report)


def compare_records(
    run: Run,
    active: set[str],
    before: list[Item],
    after: list[Item],
    wanted: dict[Any, Item],
    fields: tuple[str, ...],
) -> None:
    """All fields of all records; one that did not change is the same row to the last column."""
    old = {item["public_id"]: item for item in before}
    ours = {item["public_id"]: item for item in after if item["employee_number"] in active}
    others = [item for item in after if item["employee_number"] not in active]
    assert others == [item for item in before if item["employee_number"] not in active]
    compared = ("employee_number", *fields)
    assert {key: {name: item[name] for name in compared} for key, item in ours.items()} == {
        key: {name: item[name] for name in compared} for key, item in wanted.items()
    }
    for key, item in ours.items():
        known = old.get(key)
        if known and known["source"] == "import" and all(known[name] == item[name] for name in fields):
            assert item == known
            continue
        assert (item["source"], item["run_id"], item["updated_by"]) == ("import", run.id, USER)
        if known:
            assert item["id"] == known["id"]
            assert item["version"] > known["version"]


async def compare_lists(factory: Factory, run: Run, report: Report) -> None:
    found = await lists(factory, run)
    rejected = found.pop("rejected", [])
    assert [item["line"] for item in rejected] == sorted(report.oracle.faulty)
    for item in rejected:
        assert item["column"] in report.oracle.faulty[item["line"]]
        assert item["reason"]
    for item in found.get("overwritten", []):
        assert datetime.fromisoformat(item.pop("updated_at")) == BY_HAND
    for kind, expected in report.lists.items():
        listed = found.pop(kind, [])
        if kind in ORDERED:
            numbers = [item["employee_number"] for item in listed]
            assert numbers == sorted(numbers)
        assert sorted(map(in_order, listed)) == sorted(map(in_order, expected)), kind
    assert found == {}


def in_order(item: Item) -> str:
    """A text of an item in which the order of its licences does not count."""
    licences = sorted(map(repr, item.get("certifications", [])))
    return repr(sorted({**item, "certifications": licences}.items()))


BY_HAND = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


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


async def change_by_hand(factory: Factory, edit: Edit) -> None:
    """Change, add or choose a record straight in the tables."""
    mark = {"source": "manual", "updated_by": "hand", "updated_at": BY_HAND, "run_id": None}
    now = await held(factory)
    people = await select(factory, sa.select(employee_table).order_by(employee_table.c.employee_number))
    if edit.what == "new certification":
        await add_certification(factory, people[edit.pick % len(people)], now, mark)
        return
    table, kind = (certification, "certifications")
    if edit.what in ("endorsement", "primary") or (edit.what == "same" and edit.pick % 2):
        table, kind = (endorsement, "endorsements")
    if not now[kind]:
        return
    chosen = now[kind][edit.pick % len(now[kind])]
    this = table.c.id == chosen["id"]
    match edit.what:
        case "certification":
            changes = {"issue_date": date(2001, 1, 1), "version": 0}
            await write(factory, sa.update(certification).where(this).values(mark | changes))
        case "endorsement":
            changes = {"limitation": "by hand", "version": 0}
            await write(factory, sa.update(endorsement).where(this).values(mark | changes))
        case "same":
            await write(factory, sa.update(table).where(this).values(mark | {"version": 0}))
        case "primary":
            whose = endorsement.c.employee_id == chosen["employee_id"]
            await write(
                factory,
                sa.update(endorsement).where(whose).values(is_primary=False),
                sa.update(endorsement).where(this).values(is_primary=True),
            )
        case "new endorsement":
            await add_endorsement(factory, chosen, edit, now, mark)


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
