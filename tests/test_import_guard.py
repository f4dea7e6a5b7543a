"""A file that must not be imported is refused before anything is deleted (I13)."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.constants import FileState
from app.factory import Factory
from app.storage.download_folder import key
from tests.support.imports import (
    COLUMNS,
    DISTRICT,
    NAME,
    employee,
    import_file,
    lists,
    records,
    row,
    run_import,
    select,
    succeed,
    write_file,
)
from tests.support.object_storage import content

PEOPLE = 40


def licence(number: int, **more: str) -> list[str]:
    return row(str(100 + number), f"Last{number}", "Ann", f"L{number}", **more)


def licences(count: int) -> list[list[str]]:
    return [licence(number) for number in range(count)]


async def roster(factory: Factory, count: int) -> Factory:
    people = [employee(f"E{number}", str(100 + number), f"Last{number}", "Ann") for number in range(count)]
    await factory.employees.put_all(DISTRICT, people)
    return factory


@pytest.fixture
async def imported(factory: Factory, tmp_path: Path) -> Factory:
    await roster(factory, PEOPLE)
    await succeed(factory, write_file(tmp_path, licences(PEOPLE), "20260101"))
    return factory


async def files(factory: Factory) -> list[dict[str, Any]]:
    return await select(factory, sa.select(import_file).order_by(import_file.c.datestamp))


def made_of(content: bytes) -> Callable[[Path], Path]:
    def make(directory: Path) -> Path:
        path = directory / NAME.format("20260109")
        path.write_bytes(content)
        return path

    return make


def without(column: str) -> Callable[[Path], Path]:
    at = COLUMNS.index(column)

    def make(directory: Path) -> Path:
        rows = [[cell for index, cell in enumerate(cells) if index != at] for cells in licences(PEOPLE)]
        return write_file(directory, rows, "20260109", [name for name in COLUMNS if name != column])

    return make


async def assert_refused(
    factory: Factory, path: Path, code: str, before: dict[str, Any]
) -> list[dict[str, Any]]:
    """Nothing was deleted, and the file lies in quarantine; returns the rejected rows."""
    run = await run_import(factory, path)
    assert (run.status, run.failure_code) == ("failed", code)
    assert await records(factory) == before
    (aside,) = [file for file in await files(factory) if file["run_id"] == run.id]
    assert (aside["name"], aside["state"], aside["sha256"]) == (
        path.name,
        FileState.QUARANTINED,
        run.file_sha256,
    )
    stored = await content(factory.files, key(DISTRICT, aside["stored_as"], FileState.QUARANTINED))
    assert hashlib.sha256(stored).hexdigest() == run.file_sha256
    return (await lists(factory, run)).get("rejected", [])


NO_LICENCE_FILES = {
    "empty": (made_of(b""), "file_unreadable"),
    "web page": (made_of(b"<!doctype html><p>Sign in</p>\n"), "file_unreadable"),
    "binary": (made_of(bytes(range(256)) * 40), "file_unreadable"),
    "header only": (lambda to: write_file(to, [], "20260109"), "file_unreadable"),
    "no id": (without("EducatorID"), "file_missing_columns"),
    "no status": (without("LicenseStatus"), "file_missing_columns"),
}


async def test_no_licence_file(imported: Factory, tmp_path: Path) -> None:
    before = await records(imported)
    for make, code in NO_LICENCE_FILES.values():
        assert await assert_refused(imported, make(tmp_path), code, before) == []


async def test_rejected_rows_up_to_five_percent(imported: Factory, tmp_path: Path) -> None:
    """Exactly 5 % is good, one row more is not; every rejected row is listed."""
    many = licences(PEOPLE) + [row("999", "No", "Body") for _ in range(160 - PEOPLE)]
    bad = [licence(0, LicenseIssueDate="13/45/2026")] * 10
    good = await run_import(imported, write_file(tmp_path, many + bad[:8] + licences(8)))
    assert good.summary
    assert (good.status, good.summary["rows_read"], good.summary["rows_rejected"]) == ("succeeded", 176, 8)
    exact = await run_import(imported, write_file(tmp_path, [*many, *licences(30), *bad], "20260106"))
    assert exact.summary
    assert (exact.status, exact.summary["rows_read"], exact.summary["rows_rejected"]) == (
        "succeeded",
        200,
        10,
    )

    before = await records(imported)
    path = write_file(tmp_path, [*many, *licences(29), *bad], "20260107")  # 10 of 199
    run = await run_import(imported, path)
    assert (run.status, run.failure_code, run.summary) == ("failed", "too_many_rejected_rows", None)
    assert await records(imported) == before
    rejected = (await lists(imported, run))["rejected"]
    assert [item["line"] for item in rejected] == list(range(191, 201))
    assert {(item["column"], item["value"]) for item in rejected} == {("LicenseIssueDate", "13/45/2026")}
    assert all("is not a date" in item["reason"] for item in rejected)
    assert [file["state"].value for file in await files(imported)][-1] == "quarantined"


async def test_a_refused_file_takes_no_good_ones_place(imported: Factory, tmp_path: Path) -> None:
    bad = [licence(0, LicenseNumber="")] * 20
    await run_import(imported, write_file(tmp_path, bad, "20260109"))
    retained = [file["name"] for file in await files(imported) if file["state"] == FileState.RETAINED]
    assert retained == [NAME.format("20260101")]


@pytest.mark.parametrize(
    ("holders", "left"),
    [
        pytest.param(40, 19, id="more than half"),
        pytest.param(19, 9, id="10 of 19"),
        pytest.param(10, 0, id="all of 10"),
    ],
)
async def test_too_much_shrinking_is_refused_unless_accepted(
    factory: Factory, tmp_path: Path, holders: int, left: int
) -> None:
    await roster(factory, PEOPLE)
    await succeed(factory, write_file(tmp_path, licences(holders), "20260101"))
    before = await records(factory)
    path = write_file(tmp_path, [*licences(left), row("999", "No", "Body")], "20260109")
    await assert_refused(factory, path, "too_much_shrink", before)
    accepted = await run_import(factory, path, accept_shrink=True)
    assert accepted.status == "succeeded"
    assert len((await records(factory))["certification"]) == left


async def test_less_shrinking_is_imported(factory: Factory, tmp_path: Path) -> None:
    """Exactly half, 10 that are less than half, 9 that are more, all of 9."""
    await roster(factory, PEOPLE)
    for holders, left in ((40, 20), (21, 11), (17, 8), (9, 0)):
        await succeed(factory, write_file(tmp_path, licences(holders), "20260101"))
        path = write_file(tmp_path, [*licences(left), row("999", "No", "Body")], "20260109")
        assert (await run_import(factory, path)).status == "succeeded"
        assert len((await records(factory))["certification"]) == left


async def test_rejected_rows_are_judged_before_the_shrinking(imported: Factory, tmp_path: Path) -> None:
    before = await records(imported)
    path = write_file(tmp_path, [licence(0, EducatorID="none")] * 20, "20260109")
    rejected = await assert_refused(imported, path, "too_many_rejected_rows", before)
    assert len(rejected) == 20


async def test_two_gigabytes_are_refused_unread(imported: Factory, tmp_path: Path) -> None:
    path = tmp_path / NAME.format("20260109")
    with path.open("wb") as file:
        file.truncate(imported.settings.max_file_bytes + 1)  # a hole: no byte of it is stored
    before = await records(imported)
    run = await run_import(imported, path)
    assert (run.status, run.failure_code) == ("failed", "file_too_large")
    assert await records(imported) == before
    folder = imported.settings.data_dir / "downloads"
    assert sum(found.stat().st_size for found in folder.rglob("*") if found.is_file()) < 1 << 20
