"""People edit while imports of the same district follow each other: what results is one order of all of it.

The order is read from the log of edits, where each import marks those it came after. Replayed on a model,
it must give the very records that are there: an edit half applied, lost, doubled, or surviving an import
that came after it would not.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from app.constants import EditAction, FindingKind
from app.embedded_redis import EmbeddedRedis, find_server
from app.errors import (
    CertificationUpdateInProgressError,
    ConflictError,
    NotFoundError,
    ServiceUnavailableError,
    ValidationFailedError,
)
from app.factory import Factory
from app.models import RecordEdit
from app.pipeline.replace import execute_all
from app.services import run_reporting
from app.settings import Settings
from tests.support.imports import (
    DISTRICT,
    add_district,
    certification,
    employee,
    empty_pdf,
    endorsement,
    finding,
    row,
    run_table,
    select,
    succeed,
    write_file,
)

PEOPLE = 12
WRITERS = 3
ATTEMPTS = 1200
"""Edits that are tried at least, most of them while an import has the records."""
IMPORTS = 8
IN_THE_WINDOW = 40
"""Edits that are tried while each replace is under way."""
LIMIT = 100
edit = RecordEdit.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

Records = dict[Any, tuple[Any, ...]]


@pytest.fixture
async def factories(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Factory]]:
    """An importer and as many writers, each with connections of its own, beside a real Redis."""
    server = EmbeddedRedis(tmp_path / "redis", find_server())
    child = await server.start()
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)
    beside = settings.model_copy(update={"redis_url": SecretStr(server.url)})
    made = [Factory(beside) for _ in range(WRITERS + 1)]
    await add_district(made[0], DISTRICT)
    people = [employee(f"E{number}", str(100 + number), "Smith", f"Ann{number}") for number in range(PEOPLE)]
    await made[0].employees.put_all(DISTRICT, people)
    yield made
    for each in made:
        await each.close()
    await child.stop(5)


def licence_files(directory: Path) -> list[Path]:
    """Two files in which each person's licences differ: one stays, one changes, one comes and goes."""

    def rows(other: bool) -> list[list[str]]:
        found = []
        for number in range(PEOPLE):
            person = (str(100 + number), "Smith", f"Ann{number}")
            found.append(row(*person, f"K{number}", EndorsementCode="1-01"))
            expires = "06/30/2098" if other else "06/30/2099"
            found.append(row(*person, f"C{number}", LicenseExpirationDate=expires, EndorsementCode="2-02"))
            if other == bool(number % 2):
                found.append(row(*person, f"G{number}", EndorsementCode="3-03"))
        return found

    return [write_file(directory, rows(other=other), f"2026010{1 + other}") for other in (False, True)]


@dataclass
class Writers:
    """What the writers do, and what they were answered."""

    answers: Counter[str] = field(default_factory=Counter)
    tried: asyncio.Condition = field(default_factory=asyncio.Condition)
    done: bool = False

    async def until(self, attempts: int) -> None:
        """Wait until so many more edits have been answered, one way or the other."""
        goal = self.answers.total() + attempts
        async with self.tried:
            await self.tried.wait_for(lambda: self.answers.total() >= goal)

    async def work(self, factory: Factory, seed: int) -> None:
        """Edit at random until `done`."""
        random = Random(seed)
        while not self.done:
            try:
                await edit_something(factory, random, f"writer{seed}")
                answer = "accepted"
            except (CertificationUpdateInProgressError, ServiceUnavailableError):
                answer = "locked"
            except (ConflictError, NotFoundError, ValidationFailedError):
                answer = "refused"
            async with self.tried:
                self.answers[answer] += 1
                self.tried.notify_all()


async def edit_something(factory: Factory, random: Random, user: str) -> None:
    """Add, change or delete a record that is there or is not; half the time without asking Redis before.

    That is what happens to a request that asked a moment before the lock was taken.
    """
    if random.random() < 0.5:
        await factory.editing.check(DISTRICT)
    service: Any = random.choice([factory.certifications, factory.endorsements])
    page = await select_ids(factory, service)
    match random.choice(["add", "change", "change", "delete"]):
        case "add" if service is factory.certifications:
            number = random.randrange(PEOPLE)
            kind = random.choice("KCGM")
            licence = {"license_number": f"{kind}{number}", "license_type": "Level II"}
            no_dates = {"issue_date": None, "expiration_date": None}
            body = {"employee_number": f"E{number}", **licence, "status": "by hand", **no_dates}
            await service.create(DISTRICT, user, body)
        case "add":
            holder = random.choice(await select_ids(factory, factory.certifications))
            code, limitation = random.choice(["1-01", "9-09"]), str(random.randrange(9))
            added = {"certification_id": holder, "code": code, "limitation": limitation}
            blank = dict.fromkeys(("description", "issue_date", "expiration_date"))
            await service.create(DISTRICT, user, {**added, **blank, "primary": False})
        case "change":
            name = "status" if service is factory.certifications else "limitation"
            await service.change(DISTRICT, user, random.choice(page), {name: f"{random.random():.6f}"}, None)
        case "delete":
            await service.delete(DISTRICT, user, random.choice(page), None)


async def select_ids(factory: Factory, service: object) -> list[Any]:
    table = certification if service is factory.certifications else endorsement
    ids = [found["public_id"] for found in await select(factory, sa.select(table.c.public_id))]
    return ids or [uuid4()]


async def held(factory: Factory) -> Records:
    """Every record by its public id, with what an edit can change and who holds it."""
    found: Records = {}
    for record in await select(factory, sa.select(certification)):
        dates = (record["issue_date"], record["expiration_date"])
        found[record["public_id"]] = tuple(map(plain, (record["status"], *dates)))
    for record in await select(factory, sa.select(endorsement)):
        names = ("description", "issue_date", "expiration_date", "limitation")
        found[record["public_id"]] = tuple(plain(record[name]) for name in names)
    return found


def plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


async def replayed(factory: Factory, contents: dict[str, Records]) -> Records:
    """Return the records that the log of edits and the imports, in their order, should have come to."""
    order = sa.select(run_table.c.id, run_table.c.file_name).order_by(run_table.c.ended_at)
    edits = await select(factory, sa.select(edit).order_by(edit.c.id))
    records: Records = {}
    for run in await select(factory, order):
        apply(records, [item for item in edits if item["run_id"] == run["id"]])
        records = dict(contents[run["file_name"]])
    apply(records, [item for item in edits if item["run_id"] is None])
    return records


def apply(records: Records, edits: list[dict[str, Any]]) -> None:
    """Do to the records what people did; each edit must fit what is there."""
    for item in edits:
        before = records.pop(item["public_id"], None)
        assert before == (tuple(item["before"].values()) if item["before"] else None), item
        if item["action"] is not EditAction.DELETED:
            records[item["public_id"]] = tuple(item["after"].values())


async def test_edits_and_imports_are_one_after_the_other(
    factories: list[Factory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importer, *others = factories
    files = licence_files(tmp_path)
    contents: dict[str, Records] = {}
    for file in files:
        await succeed(importer, file)
        contents[file.name] = await held(importer)
    writers = Writers()

    async def with_people_at_the_door(*arguments: Any) -> None:
        await writers.until(IN_THE_WINDOW)
        await execute_all(*arguments)
        await writers.until(IN_THE_WINDOW)

    imports = 0
    with monkeypatch.context() as patch:
        patch.setattr("app.pipeline.run.execute_all", with_people_at_the_door)
        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
            for seed, each in enumerate(others):
                group.create_task(writers.work(each, seed))
            try:
                while imports < IMPORTS or writers.answers.total() < ATTEMPTS:
                    await succeed(importer, files[imports % len(files)])
                    await writers.until(IN_THE_WINDOW)
                    imports += 1
            finally:
                writers.done = True

    assert await held(importer) == await replayed(importer, contents)
    logged = await select(importer, sa.select(edit.c.id, edit.c.action, edit.c.run_id))
    assert len(logged) >= writers.answers["accepted"] >= ATTEMPTS // 20
    assert writers.answers["locked"] > imports, "the imports were not disturbed"
    listed = await select(
        importer, sa.select(sa.func.count().label("n")).where(finding.c.kind == FindingKind.OVERWRITTEN)
    )
    assert listed[0]["n"] > imports // 2
    last = files[imports % len(files)]
    await succeed(importer, last)
    assert await held(importer) == contents[last.name], "the last import always wins"
