"""Redactions beside retention and other writers: the trail verifies after them, and retention goes on."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.factory import Factory
from app.models.base import utc_now
from app.services import audit
from app.storage import audit_chain, audit_events
from app.storage.audit_redaction import redact_employee
from tests.support.audit import change, count, record, trail
from tests.support.imports import DISTRICT, select

ON_POSTGRESQL = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)


async def redact(factory: Factory, number: str = "E1") -> int:
    async with factory.database.write() as session:
        return await redact_employee(await session.connection(), DISTRICT, number)


async def forget_all(factory: Factory) -> None:
    """Let retention go by when the time of everything sealed is over."""
    await factory.audit.forget(utc_now() + timedelta(days=factory.settings.audit_event_days + 1))


async def is_intact(factory: Factory) -> bool:
    verified = await factory.audit_verification.verify(DISTRICT)
    return verified.is_intact and verified.unsealed == 0


@ON_POSTGRESQL
async def test_a_redaction_waits_for_retention(factory: Factory) -> None:
    await record(factory, change("E1"), change("E2"))
    await factory.audit.seal()
    async with factory.database.engine.connect() as watcher:
        async with factory.database.write() as session:
            connection = await session.connection()
            assert await audit_chain.only_one(connection, DISTRICT)
            assert await audit_chain.forget(connection, DISTRICT, utc_now(), 1) == 1
            redaction = asyncio.create_task(redact(factory))
            waits = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            async with asyncio.timeout(20):
                while not (await watcher.execute(waits)).scalar_one():
                    assert not redaction.done(), "it did not wait"
                    await asyncio.sleep(0.02)
        assert await redaction == 0
    assert await select(factory, sa.select(audit_chain.redaction)) == []
    await factory.audit.seal()
    await forget_all(factory)
    await factory.audit.seal()
    assert await is_intact(factory)


@ON_POSTGRESQL
async def test_a_redaction_tells_of_those_it_deletes(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that is committed while the redaction goes on is none of its own."""
    await record(factory, change("E1"))
    await factory.audit.seal()
    original = audit_events.record

    async def late(*arguments: Any, **options: Any) -> Any:
        async with factory.database.write() as session:
            await original(await session.connection(), DISTRICT, change("E1", "Late"))
        return await original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(audit_events, "record", late)
        assert await redact(factory) == 1
    await factory.audit.seal()
    assert await is_intact(factory)
    assert await redact(factory) == 1


async def test_retention_passes_redactions_of_events_that_were_sealed_late(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record(factory, change("E2"))
    await factory.audit.seal()
    await record(factory, change("E1"), at=utc_now() - timedelta(days=3))  # which only a full look finds
    assert await redact(factory) == 1
    await factory.audit.seal()
    await factory.audit.seal(full=True)
    assert await is_intact(factory)
    monkeypatch.setattr(audit, "BATCH", 1)
    await forget_all(factory)
    assert [each.action for each in await trail(factory)] == ["forgotten"] * await count(factory)
    assert await select(factory, sa.select(audit_chain.redaction)) == []
    await factory.audit.seal(full=True)
    assert await is_intact(factory)
