"""What expires, when, and what never does; whatever dies in between."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.constants import FileState
from app.factory import Factory
from app.failures import StorageFailed
from app.models import FileRemoval, Run
from app.models.base import utc_now
from app.services import retention
from app.services.runs import RunOptions
from app.settings import Settings
from app.storage import expiry, run_reports
from app.storage.file_store import LocalStore
from tests.support.api import Api
from tests.support.by_hand import edit_table
from tests.support.imports import (
    DISTRICT,
    add_district,
    employee,
    finding,
    import_file,
    row,
    run_import,
    run_table,
    select,
    succeed,
    write,
    write_file,
)
from tests.support.runs import running
from tests.support.schedules import create
from tests.test_api_runs import FILES, ended
from workers.expire import expire

removal = FileRemoval.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
LONG_AGO = utc_now() - timedelta(days=500)


async def chore(factory: Factory) -> None:
    await expire({"factory": factory})


async def stamped(factory: Factory, directory: Path, *stamps: str) -> list[Run]:
    """Import files of these dates for two teachers, of whom one is skipped each time."""
    people = [employee("1", "7", "Roy", "Ann"), employee("2", "9", "Roi", "Bob")]
    await factory.employees.put_all(DISTRICT, people)
    rows = [row("7", "Roy", "Ann"), row("9", "Roy", "Bob")]
    return [await succeed(factory, write_file(directory, [*rows], stamp)) for stamp in stamps]


async def age(factory: Factory, *runs: Run) -> None:
    ids = [run.id for run in runs]
    await write(factory, sa.update(run_table).where(run_table.c.id.in_(ids)).values(ended_at=LONG_AGO))


async def count(factory: Factory, table: sa.Table, *where: Any) -> int:
    return len(await select(factory, sa.select(table).where(*where)))


async def test_the_lists_and_the_pdf_of_a_run_expire_and_it_says_so(factory: Factory, tmp_path: Path) -> None:
    old, new = await stamped(factory, tmp_path / "state", "20260101", "20260102")
    await age(factory, old)
    pdf = tmp_path / "reports" / f"{old.id}.pdf"
    assert pdf.exists()
    await chore(factory)
    assert not pdf.exists()
    assert await count(factory, finding, finding.c.run_id == old.id) == 0
    assert await count(factory, finding, finding.c.run_id == new.id) > 0
    now = await factory.runs.get(DISTRICT, old.id)
    assert now.lists_expired_at is not None
    assert now.summary == old.summary, "figures stay"
    assert (tmp_path / "reports" / f"{new.id}.pdf").exists()
    assert await count(factory, removal) == 0
    first = now.lists_expired_at
    await chore(factory)
    assert (await factory.runs.get(DISTRICT, old.id)).lists_expired_at == first


async def test_no_pdf_is_made_of_expired_lists(factory: Factory, tmp_path: Path) -> None:
    [old] = await stamped(factory, tmp_path / "state", "20260101")
    await write(factory, sa.update(run_table).values(report_pdf=None, report_tries=0))
    await age(factory, old)
    await chore(factory)
    await write(factory, sa.update(run_table).values(report_tries=0))  # as a release before might leave it
    await factory.reporting.report(old.id)
    assert not list((tmp_path / "reports").glob("*")) or not (tmp_path / "reports" / f"{old.id}.pdf").exists()
    assert (await factory.runs.get(DISTRICT, old.id)).report_pdf is None


async def test_a_pdf_that_is_made_while_its_lists_expire_goes(factory: Factory, tmp_path: Path) -> None:
    [old] = await stamped(factory, tmp_path / "state", "20260101")
    async with factory.database.write() as session:
        assert await expiry.expire_lists(await session.connection(), DISTRICT, old.id, utc_now())
    async with factory.database.write() as session:
        assert not await run_reports.note_pdf(await session.connection(), old, "x.pdf")


async def test_unfinished_runs_and_other_districts_keep_theirs(factory: Factory, tmp_path: Path) -> None:
    await add_district(factory, "other")
    await factory.employees.put_all("other", [employee("1", "7", "Roy", "Ann")])
    theirs = await succeed(factory, write_file(tmp_path / "there", [row("7", "Roy", "Ann")]), "other")
    waiting = await factory.runs.start_local(DISTRICT, "x", "x", RunOptions())
    await chore(factory)
    rows = await select(factory, sa.select(run_table.c.id).where(run_table.c.lists_expired_at.is_(None)))
    assert {one["id"] for one in rows} == {theirs.id, waiting.id}


async def test_an_edit_expires_only_when_an_import_came_after_it(factory: Factory) -> None:
    common = {
        "district_id": DISTRICT, "at": LONG_AGO, "edited_by": "u", "action": "added",
        "record": "certification", "employee_number": "1", "license_number": "L", "license_type": "",
    }  # fmt: skip
    rows = [
        {**common, "public_id": uuid4(), "run_id": None},
        {**common, "public_id": uuid4(), "run_id": uuid4()},
        {**common, "public_id": uuid4(), "run_id": uuid4(), "at": utc_now()},
    ]
    await write(factory, *(sa.insert(edit_table).values(one) for one in rows))
    await chore(factory)
    left = await select(factory, sa.select(edit_table.c.public_id))
    assert {one["public_id"] for one in left} == {rows[0]["public_id"], rows[2]["public_id"]}


@pytest.mark.parametrize("active", [True, False])
async def test_kept_files_expire_but_the_newest_serves_an_active_task(
    factory: Factory, tmp_path: Path, active: bool
) -> None:
    await create(factory, status="active" if active else "inactive")
    await stamped(factory, tmp_path / "state", "20260101", "20260102", "20260103")
    refused = write_file(tmp_path / "state", [["x"]], "20260104", ["nonsense"])
    assert (await run_import(factory, refused)).status == "failed"
    assert await count(factory, import_file) == 4
    await write(factory, sa.update(import_file).values(fetched_at=LONG_AGO))
    await chore(factory)
    left = await select(factory, sa.select(import_file))
    assert [(file["datestamp"][:10], file["state"]) for file in left] == (
        [("2026-01-03", FileState.RETAINED)] if active else []
    )
    on_disk = [path for path in (tmp_path / "downloads" / DISTRICT).rglob("*") if path.is_file()]
    assert [path.name for path in on_disk] == [file["stored_as"] for file in left]


async def test_the_newest_file_serves_an_import_that_has_not_ended(factory: Factory, tmp_path: Path) -> None:
    await stamped(factory, tmp_path / "state", "20260101", "20260102")
    await write(factory, sa.update(import_file).values(fetched_at=LONG_AGO))
    async with factory.database.write() as session:
        session.add(running(district_id=DISTRICT))
    await chore(factory)
    assert [file["datestamp"][:10] for file in await select(factory, sa.select(import_file))] == [
        "2026-01-02"
    ]


async def test_young_files_stay(factory: Factory, tmp_path: Path) -> None:
    await stamped(factory, tmp_path / "state", "20260101")
    recent = utc_now() - timedelta(days=factory.settings.retained_file_days - 1)
    await write(factory, sa.update(import_file).values(fetched_at=recent))
    await chore(factory)
    assert await count(factory, import_file) == 1


@contextmanager
def failing_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    async def remove(_store: LocalStore, *_keys: str) -> None:
        raise StorageFailed("The store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "remove", remove)
        yield


async def test_a_file_that_cannot_be_removed_now_goes_later(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [old] = await stamped(factory, tmp_path / "state", "20260101")
    await age(factory, old)
    pdf = tmp_path / "reports" / f"{old.id}.pdf"
    with failing_store(monkeypatch):
        await chore(factory)
        await chore(factory)
    assert pdf.exists()
    assert await count(factory, removal) == 1
    await chore(factory)
    assert not pdf.exists()
    assert await count(factory, removal) == 0


async def test_what_there_is_no_time_for_is_left_to_the_next(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await stamped(factory, tmp_path / "state", "20260101", "20260102")
    await age(factory, *runs)
    monkeypatch.setattr(retention, "LOOK", 0.0)
    await chore(factory)
    assert await count(factory, run_table, run_table.c.lists_expired_at.is_(None)) == 2
    monkeypatch.undo()
    await chore(factory)
    assert await count(factory, run_table, run_table.c.lists_expired_at.is_(None)) == 0


async def test_two_workers_may_do_it_at_once(factory: Factory, settings: Settings, tmp_path: Path) -> None:
    runs = await stamped(factory, tmp_path / "state", "20260101", "20260102", "20260103")
    await age(factory, *runs)
    other = Factory(settings)
    try:
        await asyncio.gather(*(keeper.retention.forget(utc_now()) for keeper in (factory, other, factory)))
    finally:
        await other.close()
    assert await count(factory, run_table, run_table.c.lists_expired_at.is_(None)) == 0
    assert await count(factory, finding) == 0
    assert not list((tmp_path / "reports").iterdir())


async def test_the_search_for_expired_runs_reads_an_index(settings: Settings) -> None:
    made = Factory(settings)
    try:
        query = (
            "SELECT id FROM run WHERE district_id = 'd' AND ended_at < '2020-01-01' "
            "AND run.lists_expired_at IS NULL ORDER BY ended_at LIMIT 1"
        )
        async with made.database.engine.connect() as connection:
            if made.database.is_sqlite:
                plan = await connection.execute(sa.text(f"EXPLAIN QUERY PLAN {query}"))
            else:
                await connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
                plan = await connection.execute(sa.text(f"EXPLAIN {query}"))
            assert "ix_run_with_lists" in str(plan.all())
    finally:
        await made.close()


async def test_the_api_says_that_it_expired(api: Api) -> None:
    await api.add(gone := ended(lists_expired_at=utc_now(), report_pdf="x.pdf"))
    for name in FILES:
        answer = await api.get(f"/runs/{gone.id}/{name}")
        assert (answer.status_code, answer.json()["type"]) == (410, "/problems/expired")
        assert f"{utc_now():%Y-%m}" in answer.json()["detail"]
        assert "Retry-After" not in answer.headers
    body = (await api.get(f"/runs/{gone.id}")).json()
    assert body["lists_expired_at"]
    assert not any(body["links"].values())
    assert body["summary"] is not None


async def test_a_report_says_that_lines_were_removed(api: Api) -> None:
    await api.add(less := ended(lists_redacted_at=utc_now()))
    [warning] = (await api.get(f"/runs/{less.id}/report.json")).json()["warnings"]
    assert "removed" in warning
