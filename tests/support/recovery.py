"""Districts with an import each, real workers that are struck in the middle of it, and what came of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from app.child_process import ChildProcess
from app.constants import WORKER_KEYS, RunStatus, TaskStatus
from app.embedded_redis import EmbeddedRedis, find_server
from app.errors import CertificationUpdateInProgressError
from app.factory import Factory
from app.models import Run, Task
from app.services import run_reporting
from app.services.runs import RunOptions
from app.settings import Settings
from tests.support.halting_worker import INSIDE, POINTS
from tests.support.haste import STALE, hurry
from tests.support.imports import (
    USER,
    add_district,
    certification,
    employee,
    empty_pdf,
    endorsement,
    import_file,
    records,
    row,
    select,
    succeed,
    write,
    write_file,
)
from tests.support.openssh import OpenSshServer
from tests.support.sftp import key_target
from tests.support.worker_process import WorkerProcess, start_worker

ENGLISH = {"EndorsementCode": "2-05"}
OLD = [row("7", "Smith", "Ann", number, **ENGLISH) for number in ("L1", "L2", "L3")]
NEW = [
    row("7", "Smith", "Ann", "L1", LicenseIssueDate="08/01/2025", **ENGLISH, Limitation="One"),
    row("7", "Smith", "Ann", "L2", EndorsementCode="3-11"),
    row("7", "Smith", "Ann", "L4", **ENGLISH),
]
"""Against `OLD`: a licence changed, one removed, one added, and the same of the endorsements."""
IMPORTED = {("L1", 8, "2-05", "One", True), ("L2", 7, "3-11", None, False), ("L4", 7, "2-05", None, False)}
"""What a district holds after `NEW`: licence, month of issue, endorsement, limitation, primary."""
SECONDS = 40
POLL = 0.02
Contents = dict[str, list[dict[str, Any]]]


@dataclass
class Deployment:
    """A database, a Redis that can be struck as well, and workers; every district has a run to begin."""

    factory: Factory
    redis: EmbeddedRedis
    server: ChildProcess
    hasty: bool
    remote: Path
    children: ExitStack
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def halts(self) -> Path:
        return self.factory.settings.data_dir / "halts"

    def rounds(self) -> list[tuple[str, ...]]:
        """All points, by those where runs can halt at once: SQLite has one writer."""
        if not self.factory.database.is_sqlite:
            return [POINTS]
        others = INSIDE[1:]
        return [tuple(point for point in POINTS if point not in others), *((point,) for point in others)]

    async def add_districts(self, names: Iterable[str], ssh: OpenSshServer) -> None:
        """Districts that hold `OLD`, and find `NEW` at the state."""
        old = write_file(self.remote.parent / f"{self.remote.name}-old", OLD, "20260101")
        target = key_target(ssh, directory=str(self.remote))
        assert target.private_key
        fields = {**asdict(target), "private_key": target.private_key}
        for name in names:
            await add_district(self.factory, name)
            await self.factory.employees.put_all(name, [employee("E1", "7", "Smith", "Ann")])
            await succeed(self.factory, old, name)
            one = sa.select(certification.c.id).where(
                certification.c.district_id == name, certification.c.license_number == "L1"
            )
            whose = endorsement.c.certification_id == one.scalar_subquery()
            await write(self.factory, sa.update(endorsement).where(whose).values(is_primary=True))
            await self.factory.connections.put(name, "admin", fields, None)

    def worker(
        self, name: str, *, runs_at_once: int = 9, stale: float = STALE, **environment: str
    ) -> WorkerProcess:
        """Start a worker that does not begin before `open`: starting takes seconds."""
        settings = self.factory.settings
        variables = {"CERTSYNC_RUNS_PER_WORKER": str(runs_at_once), "CERTSYNC_REDIS_URL": self.redis.url}
        variables["HASTE"] = str(stale) if self.hasty else ""
        if self.hasty:
            variables["CERTSYNC_PDF_TIMEOUT"] = "2"  # a report that its worker died of is tried again sooner
        worker = start_worker(name, settings, variables | environment)
        self.children.callback(worker.end)
        self.workers.append(worker)
        return worker

    async def open(self, worker: WorkerProcess) -> None:
        """Let the worker begin, and wait until it has reported to Redis."""
        known = await self._reported()
        (self.halts / f"{worker.name}.open").touch()
        async with asyncio.timeout(SECONDS):
            while await self._reported() <= known:
                assert worker.lives(), worker.log.read_text()
                await asyncio.sleep(POLL)

    async def _reported(self) -> set[bytes]:
        queue = self.factory.queue.redis
        return {key async for key in queue.scan_iter(match=f"{WORKER_KEYS}*")}

    async def begin(self, name: str) -> Run:
        """Start the run of a district, as somebody's run-now does."""
        task = Task(
            district_id=name,
            description="Licences",
            status=TaskStatus.INACTIVE,
            timezone="America/New_York",
            created_by=USER,
            updated_by=USER,
            scheduled_by=USER,
            version=1,
        )
        async with self.factory.database.write() as session:
            session.add(task)
        return await self.factory.runs.start(name, task.id, USER, RunOptions())

    async def halt(self, name: str, point: str) -> Run:
        """Start the run of a district and wait until it halts at the point."""
        (self.halts / f"{name}.at").write_text(point)
        run = await self.begin(name)
        async with asyncio.timeout(SECONDS):
            while not (self.halts / f"{name}.halted").exists():
                await asyncio.sleep(POLL)
        return run

    async def halt_all(self, points: Sequence[str]) -> list[Run]:
        """Halt a run at each point, in the district of that name; the last ones inside the replace."""
        outside = [point for point in points if point not in INSIDE]
        inside = [point for point in points if point in INSIDE]
        runs = await asyncio.gather(*(self.halt(point, point) for point in outside))
        runs += await asyncio.gather(*(self.halt(point, point) for point in inside))
        by_district = {run.district_id: run for run in runs}
        return [by_district[point] for point in points]

    def go(self, names: Iterable[str]) -> None:
        """Let halted runs go on."""
        for name in names:
            (self.halts / f"{name}.go").touch()

    async def ended(self, run: Run, *, seconds: float = SECONDS) -> Run:
        """Wait until a run is over and, unless it failed, reported."""
        async with asyncio.timeout(seconds):
            while True:
                now = await self.factory.runs.get(run.district_id, run.id)
                if now.report_pdf or now.status is RunStatus.FAILED:
                    return now
                await asyncio.sleep(POLL)

    async def contents(self, names: Iterable[str]) -> dict[str, Contents]:
        """Whole rows of certifications and endorsements."""
        return {name: await records(self.factory, name) for name in names}

    async def lets_in(self, name: str) -> bool:
        """Tell whether somebody may write a record of the district just now."""
        try:
            await self.factory.editing.check(name)
            async with self.factory.editing.transaction(name):
                return True
        except CertificationUpdateInProgressError:
            return False

    async def until_it_lets_in(self, name: str, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not await self.lets_in(name):
                await asyncio.sleep(POLL)

    async def check_imported_once(self, run: Run, attempt: int) -> None:
        """The run succeeded in the given attempt and once, and left what it should and nothing locked."""
        assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, attempt), run
        found = imported(await records(self.factory, run.district_id))
        assert found == IMPORTED, found
        kept = await select(self.factory, sa.select(import_file.c.id).where(import_file.c.run_id == run.id))
        assert len(kept) == 1
        assert self.said("run_succeeded", run) <= 1
        await self.until_it_lets_in(run.district_id, 5)

    def said(self, event: str, run: Run) -> int:
        """How often any worker logged `event` of the run."""
        events = [event for worker in self.workers for event in worker.events()]
        return len([item for item in events if item["event"] == event and item.get("run_id") == str(run.id)])

    async def crash_redis(self) -> None:
        self.server.kill()
        await self.server.wait()

    async def restart_redis(self, *, empty: bool) -> None:
        if empty:
            shutil.rmtree(self.redis._store)
        self.server = await self.redis.start()


def imported(found: Contents) -> set[tuple[Any, ...]]:
    """What was found, as `IMPORTED` has it."""
    licences = {item["id"]: item for item in found["certification"]}
    held = [(licences[item["certification_id"]], item) for item in found["endorsement"]]
    assert len(licences) == len(held)
    return {
        (
            licence["license_number"],
            licence["issue_date"].month,
            item["code"],
            item["limitation"],
            item["is_primary"],
        )
        for licence, item in held
    }


async def deployed(
    settings: Settings, ssh: OpenSshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, hasty: bool
) -> AsyncIterator[Deployment]:
    """A deployment without districts and workers; with `hasty` its limits are short, in this process too."""
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)
    if hasty:
        hurry(monkeypatch.setattr)
    redis = EmbeddedRedis(tmp_path / "redis", find_server())
    server = await redis.start()
    factory = Factory(settings.model_copy(update={"redis_url": SecretStr(redis.url)}))
    remote = ssh.new_directory()
    write_file(remote, NEW, "20260102").chmod(0o644)
    with ExitStack() as children:
        made = Deployment(factory, redis, server, hasty, remote, children)
        made.halts.mkdir()
        yield made
    await factory.close()
    await made.server.stop(5)


@pytest.fixture
async def hasty(
    settings: Settings, openssh_server: OpenSshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Deployment]:
    async for made in deployed(settings, openssh_server, tmp_path, monkeypatch, hasty=True):
        yield made


@pytest.fixture
async def unhurried(
    settings: Settings, openssh_server: OpenSshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Deployment]:
    async for made in deployed(settings, openssh_server, tmp_path, monkeypatch, hasty=False):
        yield made
