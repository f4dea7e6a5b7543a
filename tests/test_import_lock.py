"""The Redis lock of an import on a real server that crashes, hangs and forgets (I6)."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app import import_lock
from app.child_process import ChildProcess
from app.embedded_redis import EmbeddedRedis
from app.failures import DatabaseFailed
from app.import_lock import ANSWER_LIMIT, KEY, ImportLock
from app.settings import Settings
from tests.support.processes import until_async

HERE = "default"
TTL = 1.5
RENEWAL = 0.3
PATIENCE = 2.0
SECONDS = 20
SLACK = 2.0
"""Seconds that a busy machine may add to a limit."""


@pytest.fixture
async def lock(
    redis: EmbeddedRedis, redis_process: ChildProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ImportLock]:
    """The locks of one process, with short limits."""
    for name, value in {"TTL": TTL, "RENEWAL": RENEWAL, "PATIENCE": PATIENCE, "POLL": 0.05}.items():
        monkeypatch.setattr(import_lock, name, value)
    assert redis_process.pid
    made = ImportLock(Settings(data_dir=tmp_path, redis_url=SecretStr(redis.url)))
    yield made
    await made.close()


async def holder(lock: ImportLock) -> UUID | None:
    found = await lock.holder(HERE)
    return found.run_id if found else None


async def crash(redis_process: ChildProcess) -> None:
    redis_process.kill()
    await redis_process.wait()


async def test_it_is_held_longer_than_it_lives_by_itself(lock: ImportLock) -> None:
    run = uuid4()
    async with lock.held(HERE, run, uuid4()) as held:
        end = time.monotonic() + 2 * TTL
        while time.monotonic() < end:
            assert await holder(lock) == run
            assert not await held.is_anothers()
            await asyncio.sleep(0.02)
        assert await lock.holder("another") is None
    assert await holder(lock) is None


@pytest.mark.parametrize("how", [None, ValueError, asyncio.CancelledError])
async def test_it_is_released_however_the_body_ends(
    lock: ImportLock, how: type[BaseException] | None
) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with lock.held(HERE, uuid4(), uuid4()):
            entered.set()
            if how is ValueError:
                raise ValueError
            if how is asyncio.CancelledError:
                await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await entered.wait()
    if how is asyncio.CancelledError:
        assert await holder(lock)
        working.cancel()
    (ended,) = await asyncio.gather(working, return_exceptions=True)
    assert isinstance(ended, how) if how else ended is None
    assert await holder(lock) is None


async def test_a_second_run_waits_and_is_refused_at_last(lock: ImportLock) -> None:
    first = uuid4()
    async with lock.held(HERE, first, uuid4()):
        begun = time.monotonic()
        with pytest.raises(DatabaseFailed, match="Run it again later"):
            async with lock.held(HERE, uuid4(), uuid4()):
                pytest.fail("two at once")
        assert PATIENCE - 0.1 < time.monotonic() - begun < PATIENCE + SLACK
        assert await holder(lock) == first


async def test_a_second_run_gets_it_when_the_first_is_gone(lock: ImportLock) -> None:
    """The first one's worker died: nobody renews or releases."""
    dead = import_lock.HeldLock(lock._redis, HERE, uuid4(), uuid4())
    await dead.acquire()
    run = uuid4()
    begun = time.monotonic()
    async with lock.held(HERE, run, uuid4()) as held:
        assert time.monotonic() - begun < TTL + SLACK
        assert await holder(lock) == run
        assert await dead.is_anothers()
        assert not await held.is_anothers()
        await dead.release()
        assert await holder(lock) == run, "whose lock it is not must not release it"


async def test_it_is_neither_renewed_nor_taken_again_without_the_guard(lock: ImportLock) -> None:
    run, there = uuid4(), True

    async def guarded() -> bool:
        return there

    async def is_free() -> bool:
        return await holder(lock) is None

    async with lock.held(HERE, run, uuid4(), guarded):
        there = False
        begun = time.monotonic()
        await until_async(is_free, SECONDS)
        assert time.monotonic() - begun < TTL + SLACK
        end = time.monotonic() + 3 * RENEWAL
        while time.monotonic() < end:
            assert await is_free()
            await asyncio.sleep(0.02)
        there = True
        await until_async(lambda: is_held_by(lock, run), SECONDS)
    assert await is_free()


async def is_held_by(lock: ImportLock, run: UUID) -> bool:
    return await holder(lock) == run


@pytest.mark.parametrize("empty", [False, True], ids=["with its data", "empty"])
async def test_it_outlives_a_crash_of_redis(
    lock: ImportLock, redis: EmbeddedRedis, redis_process: ChildProcess, empty: bool
) -> None:
    run = uuid4()
    async with lock.held(HERE, run, uuid4()) as held:
        await crash(redis_process)
        with pytest.raises((RedisError, OSError)):
            await lock.holder(HERE)
        assert not await held.is_anothers(), "nobody knows, and the guard has the last word"
        if empty:
            for file in redis._store.rglob("*.aof"):
                file.unlink()
        again = await redis.start()
        await until_async(lambda: is_held_by(lock, run), SECONDS)
    assert await holder(lock) is None
    async with lock.held(HERE, run, uuid4()):  # over connections that the crash has broken
        assert await holder(lock) == run
    await again.stop(5)


async def test_somebody_else_takes_it_after_a_crash_of_redis(
    lock: ImportLock, redis: EmbeddedRedis, redis_process: ChildProcess
) -> None:
    async with lock.held(HERE, uuid4(), uuid4()) as held:
        await crash(redis_process)
        for file in redis._store.rglob("*.aof"):
            file.unlink()
        again = await redis.start()
        other = import_lock.HeldLock(lock._redis, HERE, uuid4(), uuid4())
        async with Redis.from_url(redis.url) as client:
            await client.set(f"{KEY}{HERE}", other.token)
        assert await held.is_anothers()
        assert not await other.is_anothers()
    assert await lock.holder(HERE), "the other one's lock stays"
    await again.stop(5)


async def test_who_asks_with_others_waits_no_longer(lock: ImportLock, redis_process: ChildProcess) -> None:
    """The client connects one after the other."""
    redis_process.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    asked = await asyncio.gather(*(lock.holder(HERE) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(answer, RedisError | OSError) for answer in asked)
    assert time.monotonic() - begun < ANSWER_LIMIT + SLACK
    redis_process.process.send_signal(signal.SIGCONT)


async def test_what_an_earlier_try_could_not_release_is_nobody_elses(
    lock: ImportLock, redis: EmbeddedRedis, redis_process: ChildProcess
) -> None:
    """Redis crashed in the first try, was away when the second began, and is back with the first lock."""
    run, owner = uuid4(), uuid4()
    await crash(redis_process)
    async with lock.held(HERE, run, owner) as held:
        again = await redis.start()
        async with Redis.from_url(redis.url) as client:
            await client.set(f"{KEY}{HERE}", f"{run}/{owner}/2026-11-22T22:32:02+00:00")
            assert not await held.is_anothers()
            await client.set(f"{KEY}{HERE}", f"{run}/{uuid4()}/2026-11-22T22:32:02+00:00")
            assert await held.is_anothers(), "whoever took the run over is somebody else"
    await again.stop(5)


async def test_a_run_goes_on_without_redis(lock: ImportLock, redis_process: ChildProcess) -> None:
    await crash(redis_process)
    async with lock.held(HERE, uuid4(), uuid4()) as held:
        assert not await held.is_anothers()


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_nothing_hangs_with_redis(lock: ImportLock, redis_process: ChildProcess, when: str) -> None:
    """A server that is stopped takes connections and commands, and answers none."""
    if when == "before":
        redis_process.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    async with asyncio.timeout(SECONDS), lock.held(HERE, uuid4(), uuid4()) as held:
        if when == "meanwhile":
            redis_process.process.send_signal(signal.SIGSTOP)
        assert not await held.is_anothers()
        with pytest.raises((RedisError, OSError)):
            await lock.holder(HERE)
    assert time.monotonic() - begun < 4 * ANSWER_LIMIT + SLACK
    redis_process.process.send_signal(signal.SIGCONT)

    async def is_free() -> bool:
        return await holder(lock) is None

    begun = time.monotonic()
    await until_async(is_free, SECONDS)  # the commands that nobody waited for are obeyed now
    assert time.monotonic() - begun < TTL + SLACK
