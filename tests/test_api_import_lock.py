"""While an import replaces a district's records, nobody else writes them, and everybody hears so (I6)."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from redis.asyncio import Redis

from app import database
from app.child_process import ChildProcess
from app.constants import Role, RunKind, RunStatus, RunTrigger
from app.database import take_guard
from app.embedded_redis import EmbeddedRedis
from app.import_lock import KEY
from app.models import Run
from app.models.base import utc_now
from app.settings import Settings
from tests.support.api import HERE, THERE, Api, problem, running_api
from tests.support.processes import until_async
from tests.support.records import LICENCE, add_certification, add_endorsement, edit_version, hire

ON_POSTGRESQL = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
FREE = {"locked": False, "run_id": None, "since": None}
SOON = 3.0
"""Seconds for an answer although Redis is silent: it has a second to connect or to answer."""


class World:
    """An API whose two districts have a certification and an endorsement each."""

    def __init__(self, api: Api, licences: dict[str, str], codes: dict[str, str]) -> None:
        self.api, self.licences, self.codes = api, licences, codes

    @classmethod
    async def make(cls, api: Api) -> "World":
        licences, codes = {}, {}
        for district in (HERE, THERE):
            await hire(api, "E1", district=district)
            licence = await add_certification(api, district)
            licences[district] = f"/certifications/{licence['id']}"
            codes[district] = f"/endorsements/{(await add_endorsement(api, licence, district))['id']}"
        return cls(api, licences, codes)

    async def writes(self, *, bad: bool = False) -> list[httpx.Response]:
        """Try each kind of write here; none would be accepted if it were not for the lock."""
        answers = []
        for noun, path in (("certifications", self.licences[HERE]), ("endorsements", self.codes[HERE])):
            body = {"wrong": 1} if bad else {"issue_date": "2020-01-01"}
            for method, address, sent in (
                ("POST", f"/{noun}", body if bad else LICENCE | {"license_number": "L9"}),
                ("PATCH", address_of(path, bad=bad), body),
                ("DELETE", address_of(path, bad=bad), None),
            ):
                if bad or (method, noun) != ("POST", "endorsements"):
                    answers.append(await self.api.call(method, address, sent, role=Role.HR))
        return answers

    async def refuses(self, run_id: UUID | None, *, bad: bool = False) -> None:
        """Check that every write here is refused as the requirement says, and everything else goes on."""
        known = await self.api.get(self.licences[HERE], role=Role.VIEWER)
        before = await edit_version(self.api)
        for answer in await self.writes(bad=bad):
            body = problem(answer, 423, "certification-update-in-progress")
            assert body["detail"] == "Certification data update is in Progress."
            assert body["run_id"] == (str(run_id) if run_id else None)
            assert int(answer.headers["Retry-After"]) > 0
        assert (await self.api.get(self.licences[HERE])).json() == known.json()
        assert known.status_code == 200
        assert await edit_version(self.api) == before
        await self.accepts(THERE)

    async def accepts(self, district: str = HERE) -> None:
        """Check that a write is accepted."""
        new = {"description": str(uuid4())}
        answer = await self.api.call("PATCH", self.codes[district], new, district=district)
        assert answer.status_code == 200, answer.text
        assert answer.json()["description"] == new["description"]


def address_of(path: str, *, bad: bool) -> str:
    return f"{path.rpartition('/')[0]}/nothing" if bad else path


@pytest.fixture
async def world(api: Api) -> World:
    """Without Redis."""
    return await World.make(api)


@pytest.fixture
async def with_redis(settings: Settings, redis_url: SecretStr) -> AsyncIterator[World]:
    async with running_api(settings.model_copy(update={"redis_url": redis_url})) as api:
        yield await World.make(api)


@pytest.mark.parametrize("token", [b"garbage", b"a/b/c", b"\xff\xfe", b""])
async def test_a_lock_that_cannot_be_read_is_a_lock(
    with_redis: World, redis: EmbeddedRedis, token: bytes
) -> None:
    async with Redis.from_url(redis.url) as client:
        await client.set(f"{KEY}{HERE}", token)
        await with_redis.refuses(None)
        assert (await with_redis.api.get("/import-lock")).json() == FREE | {"locked": True}
        await client.delete(f"{KEY}{HERE}")
    await with_redis.accepts(HERE)


async def replace_begins(api: Api) -> Run:
    """A run of this district that has marked its row and will now replace the records."""
    now = utc_now()
    run = Run(
        district_id=HERE,
        task_description="Licences",
        kind=RunKind.IMPORT,
        trigger=RunTrigger.RUN_NOW,
        status=RunStatus.IN_PROGRESS,
        scheduled_start=now,
        heartbeat_at=now,
        replacing_since=now,
        owner=uuid4(),
        run_by="kmarsh",
    )
    await api.add(run)
    return run


async def test_redis_says_so_first(with_redis: World) -> None:
    api = with_redis.api
    assert (await api.get("/import-lock", role=Role.VIEWER)).json() == FREE
    run_id = uuid4()
    async with api.factory.import_lock.held(HERE, run_id, uuid4()):
        lock = (await api.get("/import-lock", role=Role.VIEWER)).json()
        assert (lock["locked"], lock["run_id"]) == (True, str(run_id))
        assert abs((utc_now() - datetime.fromisoformat(lock["since"])).total_seconds()) < 60
        assert lock["since"].endswith("Z")
        assert (await api.get("/import-lock", district=THERE)).json() == FREE
        await with_redis.refuses(run_id)
        await with_redis.refuses(run_id, bad=True)
    assert (await api.get("/import-lock")).json() == FREE
    await with_redis.accepts()


async def test_who_may_not_write_does_not_hear_of_the_lock(with_redis: World) -> None:
    api = with_redis.api
    async with api.factory.import_lock.held(HERE, uuid4(), uuid4()):
        problem(await api.call("POST", "/certifications", {}, role=None), 401, "unauthorized")
        problem(await api.call("POST", "/certifications", {}, role=Role.VIEWER), 403, "forbidden")
    problem(await api.get("/import-lock", role=None), 401, "unauthorized")
    problem(await api.get("/import-lock", role=Role.OPS), 403, "forbidden")


async def test_without_redis_the_run_says_so(world: World) -> None:
    assert (await world.api.get("/import-lock")).json() == FREE
    await world.accepts()
    run = await replace_begins(world.api)
    lock = (await world.api.get("/import-lock")).json()
    assert (lock["locked"], lock["run_id"]) == (True, str(run.id))
    assert datetime.fromisoformat(lock["since"]) >= run.created_at.replace(microsecond=0)
    await world.refuses(run.id)
    await world.refuses(run.id, bad=True)
    ended = {"status": RunStatus.SUCCEEDED, "ended_at": utc_now()}
    async with world.api.factory.database.write() as session:
        await session.exec(sa.update(Run).values(ended))
    assert (await world.api.get("/import-lock")).json() == FREE
    await world.accepts()


@ON_POSTGRESQL
@pytest.mark.parametrize("marked", [False, True])
async def test_the_guard_is_held(with_redis: World, *, marked: bool) -> None:
    """Redis says that nobody replaces anything: it has restarted, or the lock has expired."""
    run = await replace_begins(with_redis.api) if marked else None
    async with with_redis.api.factory.database.engine.connect() as replace:
        await take_guard(replace, HERE, shared=False)
        await with_redis.refuses(run.id if run else None)
        await replace.rollback()
    await with_redis.accepts()


@ON_POSTGRESQL
async def test_the_guard_is_waited_for(world: World) -> None:
    """A replace that waits for the last writer lets no new one in, so it does not wait for ever."""
    engine = world.api.factory.database.engine
    async with engine.connect() as writer, engine.connect() as replace, engine.connect() as watcher:
        await take_guard(writer, HERE, shared=True)
        await world.accepts()
        waiting = asyncio.create_task(take_guard(replace, HERE, shared=False))
        query = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

        async def waits() -> bool:
            return bool((await watcher.execute(query)).scalar_one())

        await until_async(waits)
        await world.refuses(None)
        await writer.rollback()
        await waiting
        await world.refuses(None)
        await replace.rollback()
    await world.accepts()


@ON_SQLITE
async def test_sqlite_is_busy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits in vain for the write lock hears of the import if there is one, and else that it is busy."""
    monkeypatch.setitem(database.SQLITE_PRAGMAS, "busy_timeout", "100")
    async with running_api(settings) as api:
        world = await World.make(api)
        async with api.factory.database.writer.connect() as other:
            await other.execute(sa.text("SELECT 1"))  # BEGIN IMMEDIATE
            for answer in await world.writes():
                problem(answer, 503, "service-unavailable")
                assert int(answer.headers["Retry-After"]) > 0
            await other.rollback()
        await world.accepts()
        run = await replace_begins(api)
        async with api.factory.database.writer.connect() as other:
            await other.execute(sa.text("SELECT 1"))
            for answer in await world.writes():
                assert problem(answer, 423, "certification-update-in-progress")["run_id"] == str(run.id)


@ON_SQLITE
async def test_the_import_begins_while_a_writer_waits(world: World) -> None:
    """The writer looks again once it has the write lock, and does not write behind the import's back."""
    engine = world.api.factory.database
    run = await replace_begins(world.api)
    async with engine.write() as session:
        await session.exec(sa.update(Run).values(replacing_since=None))
    async with engine.writer.connect() as replace:
        await replace.execute(sa.update(Run).values(replacing_since=utc_now()))
        waiting = asyncio.create_task(world.writes())
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        await replace.commit()
    for answer in await waiting:
        assert problem(answer, 423, "certification-update-in-progress")["run_id"] == str(run.id)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
async def test_redis_falls_silent(
    with_redis: World, redis_process: ChildProcess, how: signal.Signals
) -> None:
    """A request asks Redis once; then the database alone decides."""
    await with_redis.accepts()
    os.kill(redis_process.pid, how)
    began = time.monotonic()
    await with_redis.accepts()
    assert time.monotonic() - began < SOON
    run = await replace_begins(with_redis.api)
    began = time.monotonic()
    answer = await with_redis.api.call("DELETE", with_redis.licences[HERE])
    assert time.monotonic() - began < SOON
    assert problem(answer, 423, "certification-update-in-progress")["run_id"] == str(run.id)


async def test_redis_falls_silent_while_it_is_asked(with_redis: World, redis_process: ChildProcess) -> None:
    os.kill(redis_process.pid, signal.SIGSTOP)
    began = time.monotonic()
    request: asyncio.Task[Any] = asyncio.create_task(with_redis.accepts())
    lock = with_redis.api.factory.import_lock._redis
    await until_async(lambda: lock.connection_pool._in_use_connections)
    os.kill(redis_process.pid, signal.SIGKILL)
    await request
    assert time.monotonic() - began < SOON
