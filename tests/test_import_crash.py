"""Wherever an import stops, the data is the old or the new, and the next run is not hindered (I5)."""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.factory import Factory
from app.models.base import utc_now
from app.pipeline.plan import Plan
from app.pipeline.run import ImportRun
from app.storage.due_runs import STALE
from tests.support.imports import (
    DISTRICT,
    certification,
    employee,
    endorsement,
    execute,
    lists,
    records,
    row,
    run_import,
    run_table,
    start,
    succeed,
    write,
    write_file,
)
from tests.support.killed_import import AFTER_COMMIT, BEFORE_COMMIT
from tests.support.processes import ROOT

ENGLISH = {"EndorsementCode": "2-05"}
OLD = [row("7", "Smith", "Ann", number, **ENGLISH) for number in ("L1", "L2", "L3")]
NEW = [
    row("7", "Smith", "Ann", "L1", LicenseIssueDate="08/01/2025", **ENGLISH, Limitation="One"),
    row("7", "Smith", "Ann", "L2", EndorsementCode="3-11"),
    row("7", "Smith", "Ann", "L4", **ENGLISH),
]
"""Against `OLD`: a licence changed, one removed, one added, and the same of the endorsements."""


@pytest.fixture
async def imported(factory: Factory, tmp_path: Path) -> Factory:
    """A district that holds `OLD`, with a primary endorsement that `NEW` changes."""
    await factory.employees.put_all(DISTRICT, [employee("E1", "7", "Smith", "Ann")])
    await succeed(factory, write_file(tmp_path, OLD, "20260101"))
    first = sa.select(certification.c.id).where(certification.c.license_number == "L1").scalar_subquery()
    whose = endorsement.c.certification_id == first
    await write(factory, sa.update(endorsement).where(whose).values(is_primary=True))
    return factory


def numbers(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    return sorted(item["license_number"] for item in found["certification"])


class InjectedError(Exception):
    """Not one of the service's or of a library's."""


class FailingReplace:
    """Fails the statement of the replace whose number is `at`; on SQLite the first is its BEGIN.

    Odd ones fail as a lost database does, even ones as nothing that anybody expects.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 0
        self.executed = 0
        replace = ImportRun._replace

        async def failing(importing: ImportRun, plan: Plan, *arguments: Any, **options: Any) -> Any:
            self.executed = 0
            sync = plan.connection.sync_connection
            sa.event.listen(sync, "before_cursor_execute", self._count)
            try:
                return await replace(importing, plan, *arguments, **options)
            finally:
                sa.event.remove(sync, "before_cursor_execute", self._count)

        monkeypatch.setattr(ImportRun, "_replace", failing)

    @property
    def code(self) -> str:
        return "database_error" if self.at % 2 else "internal_error"

    def _count(self, *_: object) -> None:
        self.executed += 1
        if self.executed == self.at:
            if self.at % 2:
                raise sa.exc.OperationalError("", {}, Exception("a name"))
            raise InjectedError("a name")


async def test_a_failure_at_any_statement_of_the_replace_leaves_the_old_data(
    imported: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await records(imported)
    path = write_file(tmp_path, NEW, "20260102")
    failing = FailingReplace(monkeypatch)
    while True:
        failing.at += 1
        run = await run_import(imported, path)
        if failing.executed < failing.at:
            break
        assert (run.status, run.failure_code, run.summary) == ("failed", failing.code, None), failing.at
        assert "a name" not in (run.failure_message or "")
        assert await records(imported) == before
    assert run.status == "succeeded"
    assert failing.at > 10, "the replace has more statements than that"
    assert numbers(await records(imported)) == ["L1", "L2", "L4"]


async def test_a_failure_before_the_replace_leaves_the_old_data(
    imported: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await records(imported)
    path = write_file(tmp_path, NEW, "20260102")
    for step in (
        "data_versions",
        "known_people",
        "stage",
        "match.match_rows",
        "match.finish",
        "find_near_misses",
        "find_differences",
        "summarise",
    ):

        async def failing(*_: object) -> None:
            raise InjectedError

        with monkeypatch.context() as patch:
            patch.setattr(f"app.pipeline.plan.{step}", failing)
            run = await run_import(imported, path)
        assert (run.status, run.failure_code) == ("failed", "internal_error"), step
        assert await records(imported) == before
    await succeed(imported, path)


@pytest.mark.parametrize("point", [*BEFORE_COMMIT, AFTER_COMMIT])
async def test_a_killed_worker_leaves_old_or_new_data_and_its_run_to_the_next(
    imported: Factory, tmp_path: Path, point: str
) -> None:
    before = await records(imported)
    path = write_file(tmp_path, NEW, "20260102")
    run = await start(imported)
    await killed(imported, point, str(run.id), str(path))
    run = await imported.runs.get(DISTRICT, run.id)
    if point == AFTER_COMMIT:
        await take_up_the_report(imported, run.id, path)
        return
    assert (run.status, run.attempt) == ("in_progress", 1)
    assert await records(imported) == before

    await execute(imported, run.id, path)
    assert (await imported.runs.get(DISTRICT, run.id)).attempt == 1, "its worker may still live"
    stale = utc_now() - STALE - timedelta(seconds=1)
    await write(imported, sa.update(run_table).where(run_table.c.id == run.id).values(heartbeat_at=stale))
    await execute(imported, run.id, path)
    run = await imported.runs.get(DISTRICT, run.id)
    assert (run.status, run.attempt) == ("succeeded", 2)
    after = await records(imported)
    assert numbers(after) == ["L1", "L2", "L4"]
    assert [item["limitation"] for item in after["endorsement"] if item["is_primary"]] == ["One"]
    assert await lists(imported, run)
    await execute(imported, run.id, path)
    assert await records(imported) == after


async def take_up_the_report(factory: Factory, run_id: Any, path: Path) -> None:
    """The import stands; what is left to do is the report, and nothing is imported again."""
    after = await records(factory)
    assert numbers(after) == ["L1", "L2", "L4"]
    run = await factory.runs.get(DISTRICT, run_id)
    assert (run.status, run.report_pdf) == ("succeeded", None)
    await execute(factory, run_id, path)
    run = await factory.runs.get(DISTRICT, run_id)
    assert (run.status, run.attempt, run.report_pdf) == ("succeeded", 1, f"{run_id}.pdf")
    assert await records(factory) == after


async def killed(factory: Factory, *arguments: str) -> None:
    """Run the process that kills itself, and see that it did."""
    settings = factory.settings
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CERTSYNC_")}
    environment["CERTSYNC_DATA_DIR"] = str(settings.data_dir)
    if settings.database_url:
        environment["CERTSYNC_DATABASE_URL"] = settings.database_url.get_secret_value()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.killed_import",
        *arguments,
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == -signal.SIGKILL, output.decode()
