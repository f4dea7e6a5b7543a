"""A preview does everything but the replace, and tells what the next import then does (I14)."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given

from app.constants import RunKind
from app.factory import Factory
from app.models import District, Run
from app.pipeline.report import report_data
from app.pipeline.run import ImportRun
from app.services.runs import RunOptions
from tests.support.by_hand import change_by_hand, edit_table, forget_everything
from tests.support.imports import (
    DISTRICT,
    USER,
    employee,
    execute,
    import_file,
    lists,
    records,
    row,
    run_import,
    select,
    succeed,
    write_file,
)
from tests.support.pdf_text import text_of
from tests.support.worlds import History, histories, tried

EXAMPLES = 10
PEOPLE = [employee(f"E{number}", str(number), "Smith", f"Ann{number}") for number in range(1, 21)]
HR = "hr.one"


def someones(number: int, licence: str = "L1", **more: str) -> list[str]:
    return row(str(number), "Smith", f"Ann{number}", licence, **more)


@pytest.fixture
async def district(factory: Factory, tmp_path: Path) -> Factory:
    await factory.employees.put_all(DISTRICT, PEOPLE)
    await succeed(factory, write_file(tmp_path, [someones(number) for number in range(1, 21)]))
    return factory


@pytest.fixture
def new_file(tmp_path: Path) -> Path:
    """All but the last lose nothing: one licence is new, one changes, one goes."""
    rows = [someones(number) for number in range(3, 20)]
    changed = someones(2, LicenseExpirationDate="06/30/2088")
    return write_file(tmp_path, [someones(1), someones(1, "L2"), changed, *rows], "20260107")


async def run_preview(factory: Factory, path: Path, *, accept_shrink: bool = False) -> Run:
    options = RunOptions(RunKind.PREVIEW, accept_shrink)
    run = await factory.runs.start_local(DISTRICT, "a preview", USER, options)
    await execute(factory, run.id, path)
    return await factory.runs.get(DISTRICT, run.id)


async def everything(factory: Factory) -> dict[str, Any]:
    """All that only an import may write; on PostgreSQL each record with its xmin."""
    district = District.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
    tables = (edit_table, import_file, district)
    return await records(factory) | {
        table.name: await select(factory, sa.select(table).order_by(sa.text("id"))) for table in tables
    }


def kept_files(factory: Factory) -> list[Path]:
    downloads = factory.settings.data_dir / "downloads"
    return sorted(path for path in downloads.rglob("*") if path.is_file())


async def test_a_preview_tells_what_the_import_then_does(district: Factory, new_file: Path) -> None:
    key = (await records(district))["certification"][4]["public_id"]
    await district.certifications.change(DISTRICT, HR, key, {"issue_date": date(2001, 1, 1)}, None)
    before, files = await everything(district), kept_files(district)
    preview = await run_preview(district, new_file)
    assert (preview.status, preview.phase, preview.progress) == ("succeeded", "report", 100)
    assert await everything(district) == before
    assert kept_files(district) == files
    assert preview.replacing_since is None

    run = await succeed(district, new_file)
    assert run.summary
    names = ("added", "changed", "removed", "unchanged")
    assert [run.summary[f"certifications_{name}"] for name in names] == [1, 2, 1, 17]
    assert run.summary["manual_edits_overwritten"] == 1
    assert preview.summary == run.summary
    listed = await lists(district, preview)
    assert {"change", "overwritten"} <= set(listed)
    assert listed == await lists(district, run)
    assert await everything(district) != before


@given(history=histories())
@tried(EXAMPLES)
async def test_a_preview_of_any_world_is_what_the_import_does(
    lenient: Factory, tmp_path: Path, history: History
) -> None:
    await forget_everything(lenient)
    await lenient.employees.put_all(DISTRICT, history.roster_before)
    await succeed(lenient, write_file(tmp_path, history.file_before))
    for edit in history.edits:
        await change_by_hand(lenient, edit)
    await lenient.employees.put_all(DISTRICT, history.roster)
    path, before = write_file(tmp_path, history.file), await everything(lenient)
    preview = await run_preview(lenient, path, accept_shrink=True)
    assert await everything(lenient) == before
    run = await succeed(lenient, path)
    assert preview.summary == run.summary
    assert await lists(lenient, preview) == await lists(lenient, run)


async def test_a_previewed_file_is_not_the_newest_imported(district: Factory, tmp_path: Path) -> None:
    rows = [someones(number) for number in range(1, 21)]
    await run_preview(district, write_file(tmp_path, rows, "20260109"))
    run = await succeed(district, write_file(tmp_path, rows, "20260108"))
    assert "warning" not in await lists(district, run)
    older = await run_preview(district, write_file(tmp_path, rows, "20260107"))
    (warning,) = (await lists(district, older))["warning"]
    assert "2026-01-08" in warning["text"]


async def test_a_refused_file_of_a_preview_is_not_quarantined(district: Factory, tmp_path: Path) -> None:
    before, files = await everything(district), kept_files(district)
    path = write_file(tmp_path, [someones(1), *([["1"]] * 5)], "20260107")
    preview = await run_preview(district, path)
    assert (preview.status, preview.failure_code) == ("failed", "too_many_rejected_rows")
    assert await everything(district) == before
    assert kept_files(district) == files
    await run_import(district, path)
    assert len(kept_files(district)) == len(files) + 1  # an import's is


async def test_a_preview_of_much_shrink_is_refused_as_the_import_is(
    district: Factory, tmp_path: Path
) -> None:
    path = write_file(tmp_path, [someones(number) for number in range(1, 9)], "20260107")
    refused = await run_preview(district, path)
    assert refused.failure_code == "too_much_shrink"
    _, report = await district.runs.report(DISTRICT, refused.id)
    assert "changes" not in report["lists"]
    run = await run_preview(district, path, accept_shrink=True)
    assert [len(item["removed"]) for item in (await lists(district, run))["change"]] == [1] * 12


async def test_writers_are_let_in_to_the_end_of_a_preview(
    district: Factory, new_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, seen = (await records(district))["certification"][4]["public_id"], []
    end = ImportRun._end_preview

    async def edit_first(self: ImportRun, *arguments: Any) -> None:
        seen.append(await district.editing.holder(DISTRICT))
        await district.certifications.change(DISTRICT, HR, key, {"status": "UDR"}, None)
        await end(self, *arguments)

    monkeypatch.setattr(ImportRun, "_end_preview", edit_first)
    assert (await run_preview(district, new_file)).status == "succeeded"
    assert seen == [None]
    assert (await district.certifications.get(DISTRICT, key)).status == "UDR"


async def pdf_text(factory: Factory, run: Run, target: Path) -> str:
    async with factory.database.read() as session:
        district = await session.get(District, DISTRICT)
        assert district
        report = await report_data(await session.connection(), run, district, limit=500)
    return await text_of(report, target)


async def test_the_pdf_of_a_preview_says_that_nothing_was_changed(
    district: Factory, new_file: Path, tmp_path: Path
) -> None:
    key = (await records(district))["certification"][4]["public_id"]
    await district.certifications.delete(DISTRICT, HR, key, None)
    run = await run_preview(district, new_file)
    text = await pdf_text(district, run, tmp_path / "preview.pdf")
    for told in (
        "Teacher licence import: preview",
        "Preview of",
        "This was a preview. Nothing was changed.",
        "20 certifications and 0 endorsements would be imported for them.",
        "Would be imported held after the import 20 0",
        "Manual edits that would be overwritten (1)",
        "What would change, by employee (4)",
        "E1 Smith, Ann1 added Certification L2, Level II status: ACT; issue date: Jul 1, 2025; expiration",
        "E2 Smith, Ann2 changed Certification L1, Level II expiration date: Jun 30, 2099 → Jun 30, 2088",
        "deleted by hand: hr.one",
        "E20 Smith, Ann20 removed Certification L1",
    ):
        assert told in text
    assert "The import succeeded" not in text
    text = await pdf_text(district, await succeed(district, new_file), tmp_path / "import.pdf")
    assert "The import succeeded." in text
    assert "What was changed, by employee (4)" in text
    assert "preview" not in text
    assert "would" not in text
