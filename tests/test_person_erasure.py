"""The erasure of a person beside everything else that goes on, and after a crash."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from app.constants import EmployeeStatus, FindingKind, RunKind
from app.embedded_redis import EmbeddedRedis
from app.errors import CertificationUpdateInProgressError, ConflictError
from app.factory import Factory
from app.import_lock import Holder
from app.models import RunFinding
from app.models.base import utc_now
from app.pipeline import person_findings
from app.services import person_erasure, run_reporting
from app.services.person_erasure import Wish
from app.services.retention import Retention
from app.services.runs import RunOptions
from app.storage import due_runs, expiry
from tests.support.imports import (
    DISTRICT,
    employee,
    execute,
    finding,
    row,
    run_table,
    select,
    start,
    succeed,
    write,
    write_file,
)
from tests.support.one_person import FIRST, FULL, LAST, NUMBER, live, places, set_status, state_file, text_pdf
from tests.support.queueing import add_run
from workers.expire import expire

ALL = Wish(delete_files=True)


@pytest.fixture
async def district(service: Factory, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Factory]:
    """With a Redis; files may have broken rows."""
    monkeypatch.setattr(run_reporting, "render_pdf", text_pdf)
    made = Factory(service.settings.model_copy(update={"max_rejected_percent": 100.0}))
    yield made
    await made.close()


async def erase(factory: Factory) -> None:
    found = await factory.personal_data.find(DISTRICT, NUMBER)
    await factory.person_erasure.erase(found, ALL)


async def test_redis_never_has_a_person(district: Factory, redis: EmbeddedRedis) -> None:
    runs = await live(district, district.settings.data_dir / "state")
    await district.queue.enqueue_run(runs[0].id, "again")
    async with Redis.from_url(redis.url) as client:
        stored = [(key, await client.dump(key)) async for key in client.scan_iter()]
    assert stored
    assert not [
        key for key, value in stored if any(sign.encode() in (value or b"") for sign in (LAST, NUMBER))
    ]


async def test_writers_are_told_while_a_person_is_erased(
    district: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(district, district.settings.data_dir / "state")
    seen: list[Any] = []
    take_out = person_findings.take_out

    async def look(*arguments: Any) -> None:
        seen.append(await district.editing.holder(DISTRICT))
        with pytest.raises(CertificationUpdateInProgressError) as refused:
            await district.editing.check(DISTRICT)
        seen.append(refused.value.extra)
        await take_out(*arguments)

    monkeypatch.setattr(person_findings, "take_out", look)
    await erase(district)
    assert (seen[0].run_id, seen[1]) == (None, {"run_id": None})
    assert seen[0].since is not None
    assert await district.editing.holder(DISTRICT) is None


async def test_no_run_begins_while_a_person_is_erased(
    district: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that began between our look and our commit would write lists of what it had read before."""
    await live(district, district.settings.data_dir / "state")
    waiting = await add_run(district)
    claimed: list[Any] = []
    take_out = person_findings.take_out

    async def claim() -> Any:
        async with district.database.write() as session:
            return await due_runs.claim_next(await session.connection(), uuid4(), utc_now())

    async def look(*arguments: Any) -> None:
        if not district.database.is_sqlite:  # which has one writer at a time
            claimed.append(await claim())
        await take_out(*arguments)

    monkeypatch.setattr(person_findings, "take_out", look)
    await erase(district)
    assert not any(claimed)
    assert (await claim()).id == waiting.id


def test_the_lock_of_an_erasure_is_read_without_a_warning(logs: list[Any]) -> None:
    holder = Holder.parse("-/0f0f/2026-01-01T00:00:00+00:00")
    assert (holder.run_id, holder.since is None) == (None, False)
    assert logs == []


async def test_an_edit_and_an_erasure_come_one_after_the_other(district: Factory) -> None:
    await live(district, district.settings.data_dir / "state")
    found = await district.personal_data.find(DISTRICT, NUMBER)
    chosen = found.rows["certifications"][0]["public_id"]
    results = await asyncio.gather(
        district.certifications.change(DISTRICT, "hr", chosen, {"status": "late"}, None),
        district.person_erasure.erase(found, ALL),
        return_exceptions=True,
    )
    assert not isinstance(results[1], BaseException)
    assert await places(district, district.settings) == {}


async def test_a_pdf_that_is_made_meanwhile_does_not_stay(
    district: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    [run, *_] = await live(district, district.settings.data_dir / "state")
    again = {"report_pdf": None, "report_tries": 0, "report_tried_at": None}
    await write(district, sa.update(run_table).where(run_table.c.id == run.id).values(again))

    async def render(report: Any, target: Path, **more: Any) -> None:
        await text_pdf(report, target, **more)
        await erase(district)

    with monkeypatch.context() as patch:
        patch.setattr(run_reporting, "render_pdf", render)
        await district.reporting.report(run.id)
    assert await places(district, district.settings) == {}
    assert (await district.runs.get(DISTRICT, run.id)).report_pdf is None
    await district.reporting.report(run.id)
    now = await district.runs.get(DISTRICT, run.id)
    assert (now.report_pdf is None, now.report_tries) == (False, 1)
    assert await places(district, district.settings) == {}


async def test_whoever_dies_after_the_commit_leaves_nothing(
    district: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(district, district.settings.data_dir / "state")
    found = await district.personal_data.find(DISTRICT, NUMBER)
    committed = person_erasure.PersonErasure._erase

    async def die(*arguments: Any) -> bool:
        assert await committed(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(person_erasure.PersonErasure, "_erase", die)
        with pytest.raises(KeyboardInterrupt):
            await district.person_erasure.erase(found, ALL)
    assert await places(district, district.settings)
    await expire({"factory": district})
    await district.database.empty_log()
    assert await places(district, district.settings) == {}


async def test_whoever_dies_before_the_commit_changed_nothing(
    district: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(district, district.settings.data_dir / "state")
    before = await places(district, district.settings)

    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(person_erasure, "edits_moved", die)
        with pytest.raises(KeyboardInterrupt):
            await erase(district)
    assert {sign: {name for name in names if "file " not in name} for sign, names in before.items()} == {
        sign: {name for name in names if "file " not in name}
        for sign, names in (await places(district, district.settings)).items()
    }
    await erase(district)
    assert await places(district, district.settings) == {}


async def test_an_import_that_ends_meanwhile_is_searched_as_well(district: Factory) -> None:
    directory = district.settings.data_dir / "state"
    await live(district, directory)
    found = await district.personal_data.find(DISTRICT, NUMBER)
    await succeed(district, state_file(directory, "20260109"))
    await district.person_erasure.erase(found, ALL)
    assert await places(district, district.settings) == {}


async def test_a_preview_that_ends_meanwhile_is_searched_as_well(district: Factory) -> None:
    """It keeps no file, so only its lists tell of it."""
    directory = district.settings.data_dir / "state"
    await live(district, directory)
    found = await district.personal_data.find(DISTRICT, NUMBER)
    options = RunOptions(RunKind.PREVIEW, accept_shrink=True)
    run = await district.runs.start_local(DISTRICT, "x", "x", options)
    await execute(district, run.id, state_file(directory, "20260109"))
    assert (await district.runs.get(DISTRICT, run.id)).status == "succeeded"
    await district.person_erasure.erase(found, ALL)
    assert await places(district, district.settings) == {}


async def test_a_return_meanwhile_is_noticed(district: Factory) -> None:
    await live(district, district.settings.data_dir / "state")
    found = await district.personal_data.find(DISTRICT, NUMBER)
    await set_status(district, EmployeeStatus.ACTIVE)
    with pytest.raises(ConflictError, match="--even-if-active"):
        await district.person_erasure.erase(found, ALL)


async def test_the_import_is_not_spoiled(district: Factory) -> None:
    """Employees moved, so an import that planned before would plan again."""
    await live(district, district.settings.data_dir / "state")
    before = await select(district, sa.text("SELECT roster_version, edit_version FROM district"))
    await erase(district)
    [after] = await select(district, sa.text("SELECT roster_version, edit_version FROM district"))
    assert after["roster_version"] > before[0]["roster_version"]
    assert after["edit_version"] > before[0]["edit_version"]


async def test_a_name_of_before_is_learnt_from_the_lists(district: Factory) -> None:
    """Somebody who married: the lists of then have the old name, also beside others."""
    directory = district.settings.data_dir / "state"
    old = FULL | {"last_name": "Maidenwort", "former_last_name": None}
    await district.employees.put_all(DISTRICT, [old, employee("2", "9001", "Marsh", "Ann")])
    rows = [row("45127", "Maidenwort", FIRST), row("9001", "Marsh", "Ann"), row("9001", "Maidenwort", FIRST)]
    await succeed(district, write_file(directory, rows))
    await district.employees.put(
        DISTRICT, FULL | {"former_last_name": None, "status": EmployeeStatus.TERMINATED}, None
    )
    assert await places(district, district.settings, "Maidenwort")
    await erase(district)
    assert await places(district, district.settings, "Maidenwort", FIRST) == {}


async def test_expired_lists_get_no_pdf_again(district: Factory) -> None:
    [run, *_] = await live(district, district.settings.data_dir / "state")
    async with district.database.write() as session:
        await expiry.expire_lists(await session.connection(), DISTRICT, run.id, utc_now())
    await erase(district)
    now = await district.runs.get(DISTRICT, run.id)
    assert (now.lists_redacted_at, now.lists_expired_at is None) == (None, False)


async def test_files_that_cannot_be_removed_now_are_promised(
    district: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(district, district.settings.data_dir / "state")

    async def nothing(*_: object) -> None:
        pass

    with monkeypatch.context() as patch:
        patch.setattr(Retention, "remove_files", nothing)
        await erase(district)
    assert await places(district, district.settings, LAST)
    await expire({"factory": district})
    assert await places(district, district.settings, LAST) == {}


async def test_many_lines_are_searched_in_chunks(district: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person_findings, "CHUNK", 2)
    run = await start(district)
    lines = [{"employee_number": NUMBER if n % 2 else "2", "n": n} for n in range(9)]
    async with district.database.write() as session:
        session.add_all(
            RunFinding(district_id=DISTRICT, run_id=run.id, attempt=0, kind=FindingKind.CHANGE, data=line)
            for line in lines
        )
    found = await district.personal_data.find(DISTRICT, NUMBER)
    assert [one.data["n"] for one in found.mentions] == [1, 3, 5, 7]
    await district.person_erasure.erase(found, ALL)
    assert len(await select(district, sa.select(finding))) == 5
