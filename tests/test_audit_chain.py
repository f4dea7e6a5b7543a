"""Sealing: every event gets one link, however many write and seal at once, and wherever a sealer dies."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.errors import ServiceUnavailableError
from app.factory import Factory
from app.models.base import utc_now
from app.services import audit
from app.storage import audit_chain, many_rows
from app.storage.audit_events import seal
from tests.support.audit import change, record, record_many, sealed_trail, tamper, trail
from tests.support.imports import DISTRICT, add_district, select

WRITERS, WRITES = 4, 15


async def sequences(factory: Factory) -> list[int]:
    return [row["sequence"] for row in await select(factory, sa.select(seal.c.sequence).order_by("sequence"))]


async def test_events_get_consecutive_links_of_their_district(factory: Factory) -> None:
    await add_district(factory, "other")
    await record_many(factory, 3)
    await record_many(factory, 2, "other")
    assert await factory.audit.seal() == 5
    assert [event.sequence for event in await trail(factory)] == [1, 2, 3]
    assert [event.sequence for event in await trail(factory, "other")] == [1, 2]
    for district_id, links in ((DISTRICT, 3), ("other", 2)):
        verified = await factory.audit_verification.verify(district_id)
        assert (verified.is_intact, verified.links, verified.unsealed) == (True, links, 0)
    assert await factory.audit.seal() == 0


async def test_writers_and_sealers_at_once_make_one_chain(factory: Factory) -> None:
    async def write(number: int) -> None:
        for each in range(WRITES):
            await record(factory, change(f"E{number}-{each}"))

    async def seal_on() -> None:
        while not done.is_set():
            try:
                await factory.audit.seal()
            except ServiceUnavailableError:
                assert factory.database.is_sqlite

    done = asyncio.Event()
    sealers = [asyncio.create_task(seal_on()) for _ in range(3)]
    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    done.set()
    await asyncio.gather(*sealers)
    await factory.audit.seal()
    assert await sequences(factory) == list(range(1, WRITERS * WRITES + 1))
    verified = await factory.audit_verification.verify(DISTRICT)
    assert verified.is_intact
    assert verified.unsealed == 0


async def test_a_chain_never_forks(factory: Factory) -> None:
    """Two sealers that read the same head, as if there were no lock: the key lets one of them through."""
    await record_many(factory, 2)
    async with factory.database.write() as session:
        connection = await session.connection()
        events = await audit_chain.unsealed(connection, DISTRICT, None, 10)
        head, _ = await audit_chain.head_of(connection, DISTRICT)
        await audit_chain.append(connection, DISTRICT, head, events[:1])
    with pytest.raises(sa.exc.DatabaseError):
        async with factory.database.write() as session:
            await audit_chain.append(await session.connection(), DISTRICT, head, events[1:])
    assert await factory.audit.seal() == 1
    assert (await factory.audit_verification.verify(DISTRICT)).is_intact


async def test_an_event_that_is_committed_after_younger_ones_is_sealed(factory: Factory) -> None:
    await record(factory, change("E2"))
    await factory.audit.seal()
    await record(factory, change("E1"), at=utc_now() - timedelta(minutes=5))
    assert await factory.audit.seal() == 1
    late = utc_now() - timedelta(days=3)
    await record(factory, change("E0"), at=late)
    assert await factory.audit.seal() == 0  # a clock that is days wrong is for the full look
    assert (await factory.audit_verification.verify(DISTRICT)).oldest_unsealed == late
    assert await factory.audit.seal(full=True) == 1
    verified = await factory.audit_verification.verify(DISTRICT)
    assert (verified.is_intact, verified.late, verified.unsealed) == (True, 1, 0)


async def test_a_sealer_that_dies_between_batches_leaves_a_chain(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH", 4)
    await record_many(factory, 10)
    told: list[int] = []

    class Killed(BaseException):
        """Stands for the end of the process."""

    original = audit_chain.append

    async def dies(*arguments: Any) -> Any:
        head = await original(*arguments)
        told.append(head.sequence)
        if len(told) == 2:
            raise Killed
        return head

    monkeypatch.setattr(audit_chain, "append", dies)
    with pytest.raises(Killed):
        await factory.audit.seal()
    assert await sequences(factory) == [1, 2, 3, 4]
    verified = await factory.audit_verification.verify(DISTRICT)
    assert (verified.is_intact, verified.unsealed) == (True, 6)
    assert await factory.audit.seal() == 6
    assert (await factory.audit_verification.verify(DISTRICT)).links == 10


async def test_a_look_has_an_end(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "BATCH", 2)
    monkeypatch.setattr(audit, "TURN", -1)
    await record_many(factory, 5)
    assert [await factory.audit.seal() for _ in range(4)] == [2, 2, 1, 0]


async def test_each_sealing_tells_the_head_outside_the_database(factory: Factory, logs: list[Any]) -> None:
    sent: list[Any] = []
    factory.audit._tell = sent.append  # stands for a syslog server
    await sealed_trail(factory, 2)
    [told] = [event for event in logs if event["event"] == "audit_sealed"]
    head = (await factory.audit_verification.verify(DISTRICT)).head
    assert (told["district"], told["sequence"], told["hash"], told["events"]) == (DISTRICT, 2, head.hash, 2)
    assert sent[0]["hash"] == head.hash
    assert sent[0]["action"] == "audit_sealed"
    noted = await factory.audit_verification.verify(DISTRICT, audit_chain.Head(2, told["hash"]))
    assert noted.is_intact


async def test_many_at_once_are_what_one_is(factory: Factory) -> None:
    """PostgreSQL gets many events in one statement, as JSON: nothing of them may be read otherwise there."""
    name = 'O\'Neil "Ñ" \\ \u2028 {"a":null} :rows %s'
    changes = [change(f"E{number}", name) for number in range(many_rows.MANY)]
    await record(factory, *changes)
    await record(factory, change("E9", name))
    await factory.audit.seal()
    assert (await factory.audit_verification.verify(DISTRICT)).is_intact
    events = await trail(factory)
    assert [event.record_id for event in events] == [f"E{number}" for number in range(len(changes))] + ["E9"]
    assert {event.content for event in events} == {events[-1].content}
    assert json.loads(events[0].content)["after"] == {"last_name": name}
    assert {type(value) for value in (events[0].at, events[0].id)} == {datetime, UUID}


async def test_what_is_unsealed_is_looked_for_while_others_may_write(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = audit_chain.unsealed

    async def look(*arguments: Any) -> Any:
        await record(factory, change("E2"))  # SQLite would wait for itself, were the look in a write
        found = await original(*arguments)
        return [*found, *already]

    await record(factory, change("E0"))
    async with factory.database.read() as session:
        already = await original(await session.connection(), DISTRICT, None, 1)
    await factory.audit.seal()
    await record(factory, change("E1"))
    monkeypatch.setattr(audit_chain, "unsealed", look)
    assert await factory.audit.seal(full=True) == 2, "what another has sealed meanwhile is left out"
    verified = await factory.audit_verification.verify(DISTRICT)
    assert (verified.is_intact, verified.links, verified.unsealed) == (True, 3, 0)


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_sealing_passes_over_what_cannot_be_read(factory: Factory, logs: list[Any]) -> None:
    await add_district(factory, "other")
    await sealed_trail(factory, 2)
    await record_many(factory, 3)
    await record_many(factory, 1, "other")
    unsealed = "SELECT id FROM audit_event WHERE id NOT IN (SELECT event_id FROM audit_seal)"
    await tamper(
        factory,
        f"UPDATE audit_event SET token_id = 'x' WHERE id = ({unsealed} ORDER BY at LIMIT 1)",
        "UPDATE audit_event SET at = 'x' WHERE id = (SELECT event_id FROM audit_seal WHERE sequence = 2)",
    )
    assert await factory.audit.seal() == 3
    assert await sequences(factory) == [1, 1, 2, 3, 4]
    assert [each["district"] for each in logs if each["event"] == "audit_event_unreadable"] == [DISTRICT]


async def test_a_clock_that_was_ahead_keeps_nothing_longer(factory: Factory) -> None:
    """Neither the next seals wait for its time to come, nor does what was sealed after it."""
    old = utc_now() - timedelta(days=factory.settings.audit_event_days + 1)
    await record(factory, change("E1"), at=old)
    await record(factory, change("E2"), at=utc_now() + timedelta(days=3650))
    assert await factory.audit.seal() == 2
    await record(factory, change("E3"))
    assert await factory.audit.seal() == 1
    await factory.audit.forget(utc_now())
    assert {each.employee_number for each in await trail(factory)} == {"E2", "E3", None}, "only E1 is old"
    await factory.audit.seal()
    await factory.audit.forget(utc_now() + timedelta(days=factory.settings.audit_event_days, minutes=1))
    assert {each.action for each in await trail(factory)} == {"forgotten"}
    await factory.audit.seal()
    assert (await factory.audit_verification.verify(DISTRICT)).is_intact
