"""An import of any world equals the brute-force oracle: records, figures and lists, on both databases."""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.factory import Factory
from app.models import Run
from app.pipeline import stage
from app.pipeline.parse import LicenceFile, everyone
from tests.support.by_hand import BY_HAND, change_by_hand, deletions, forget_everything, held
from tests.support.imports import DISTRICT, TIMEZONE, USER, lists, succeed, write_file
from tests.support.oracle import CERTIFICATION, ENDORSEMENT, Item, Oracle, World
from tests.support.oracle_report import Report
from tests.support.worlds import REQUIRED, History, histories, tried

EXAMPLES = 16
"""Histories tried on each database, each with two imports."""
ORDERED = ("skipped", "missing_certification", "expired", "other_name")
"""Lists whose order is part of what a reader sees: by employee."""


@given(history=histories(), row_by_row=st.booleans())
@tried(EXAMPLES)
async def test_an_import_of_any_world_equals_the_oracle(
    lenient: Factory, tmp_path: Path, history: History, row_by_row: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if row_by_row:  # so that those of a licence are matched apart
            patch.setattr(stage, "PIECE", 1)
            patch.setattr(LicenceFile.batches, "__defaults__", (everyone, 1))
        await import_twice_and_compare(lenient, tmp_path, history)


async def import_twice_and_compare(lenient: Factory, tmp_path: Path, history: History) -> None:
    await forget_everything(lenient)
    await lenient.employees.put_all(DISTRICT, history.roster_before)
    await import_and_compare(lenient, tmp_path, history.roster_before, history.file_before)
    for edit in history.edits:
        await change_by_hand(lenient, edit)
    await lenient.employees.put_all(DISTRICT, history.roster)
    await import_and_compare(lenient, tmp_path, history.roster, history.file)


async def import_and_compare(
    factory: Factory, directory: Path, roster: list[Item], rows: list[list[str]]
) -> None:
    before, deleted = await held(factory), await deletions(factory)
    path = write_file(directory, rows)
    run = await succeed(factory, path)
    today = datetime.now(ZoneInfo(TIMEZONE)).date()
    held_before = (before["certifications"], before["endorsements"])
    oracle = Oracle(World(DISTRICT, today, roster, REQUIRED, rows, *held_before, deleted))
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
    found.pop("change", None)  # tests/test_changes.py has it
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
