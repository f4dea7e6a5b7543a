"""What somebody who may write to the database changes of the trail, and what verify says of it."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.factory import Factory
from app.models.base import utc_now
from app.services import audit, audit_verification
from app.services.audit_verification import Fault, Verified
from app.storage import audit_chain
from app.storage.audit_chain import Head
from app.storage.audit_events import event, payload, seal
from app.storage.audit_redaction import redact_employee
from tests.support.audit import TABLES, change, count, record, record_many, sealed_trail, tamper, trail
from tests.support.imports import DISTRICT, add_district, write


async def verify(factory: Factory, noted: Head | None = None) -> Verified:
    return await factory.audit_verification.verify(DISTRICT, noted)


async def faults(factory: Factory, noted: Head | None = None) -> list[tuple[Fault, int]]:
    return [(each.fault, each.sequence) for each in (await verify(factory, noted)).breaks]


OTHERS: dict[str, Any] = {
    "at": utc_now() - timedelta(minutes=1),
    "district_id": "other",
    "token_id": uuid4(),
    "run_id": uuid4(),
    "id": uuid4(),
}
PAYLOAD_FIELDS = ("record_id", "employee_number", "salt", "content")


@pytest.mark.parametrize("name", [column.name for column in event.c])
async def test_every_field_of_an_event_is_sealed(factory: Factory, name: str) -> None:
    await add_district(factory, "other")
    await sealed_trail(factory)
    chosen = (await trail(factory))[2]
    await tamper(factory, "SELECT 1")
    if name == "id":
        await write(factory, sa.delete(payload).where(payload.c.event_id == chosen.id))
    await write(
        factory, sa.update(event).where(event.c.id == chosen.id).values({name: OTHERS.get(name, "forged")})
    )
    found = await faults(factory)
    expected = Fault.EVENT_MISSING if name in ("id", "district_id") else Fault.ALTERED
    assert (expected, 3) in found
    assert {sequence for _, sequence in found} == {3}, "the links beside it are as they were"


@pytest.mark.parametrize("name", PAYLOAD_FIELDS)
async def test_every_field_of_a_payload_is_sealed(factory: Factory, name: str) -> None:
    await sealed_trail(factory)
    chosen = (await trail(factory))[1]
    await tamper(factory, "SELECT 1")
    await write(
        factory, sa.update(payload).where(payload.c.event_id == chosen.id).values({name: '{"forged":1}'})
    )
    assert await faults(factory) == [(Fault.PAYLOAD_ALTERED, 2)]


async def test_what_was_deleted_is_missed(factory: Factory) -> None:
    await sealed_trail(factory, 8)
    events = await trail(factory)
    await tamper(factory, "SELECT 1")
    await write(factory, sa.delete(payload).where(payload.c.event_id.in_([events[1].id, events[2].id])))
    await write(factory, sa.delete(event).where(event.c.id == events[2].id))
    await tamper(factory, "DELETE FROM audit_seal WHERE sequence IN (5, 6)")
    assert await faults(factory) == [
        (Fault.PAYLOAD_MISSING, 2),
        (Fault.EVENT_MISSING, 3),
        (Fault.LINKS_MISSING, 5),
    ]
    verified = await verify(factory)
    assert "to 6 are gone" in verified.breaks[-1].text
    assert verified.unsealed == 2, "the events of the links that are gone"


async def test_events_in_each_others_place_are_told_from_altered_ones(factory: Factory) -> None:
    await sealed_trail(factory)
    second, fourth = (await trail(factory))[1], (await trail(factory))[3]
    await tamper(factory, "SELECT 1")
    for sequence, place in ((2, uuid4()), (4, second.id), (2, fourth.id)):
        moved = sa.update(seal).where(seal.c.sequence == sequence)
        await write(factory, moved.values(event_id=place))
    verified = await verify(factory)
    assert [(each.fault, each.sequence) for each in verified.breaks] == [(Fault.MOVED, 2), (Fault.MOVED, 4)]
    assert "its own stands at link 4" in verified.breaks[0].text


async def test_an_event_that_cannot_be_read_is_passed_over(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_verification, "CHUNK", 3)
    await sealed_trail(factory, 7)
    if factory.database.is_sqlite:
        chosen = "SELECT event_id FROM audit_seal WHERE sequence IN (2, 3)"
        await tamper(factory, f"UPDATE audit_event SET at = 'never' WHERE id IN ({chosen})")
        assert await faults(factory) == [(Fault.ALTERED, 2), (Fault.ALTERED, 3)]
    assert (await verify(factory)).links == 7


async def test_an_event_that_is_slipped_in_is_found(factory: Factory) -> None:
    await sealed_trail(factory, 3)
    [slipped] = await record(factory, change("E9"))
    link = {"district_id": DISTRICT, "sequence": 4, "event_id": slipped, "hash": "f" * 64}
    await write(factory, sa.insert(seal).values(link))
    assert await faults(factory) == [(Fault.ALTERED, 4)]


async def test_only_a_noted_head_shows_that_the_end_was_cut_off_or_all_made_anew(factory: Factory) -> None:
    await sealed_trail(factory)
    noted = (await verify(factory)).head
    assert noted.sequence == 5
    last = (await trail(factory))[-1]
    await tamper(factory, "DELETE FROM audit_seal WHERE sequence = 5")
    await write(factory, sa.delete(payload).where(payload.c.event_id == last.id))
    await write(factory, sa.delete(event).where(event.c.id == last.id))
    assert await faults(factory) == [], "the rest is a chain of its own"
    assert await faults(factory, noted) == [(Fault.HEAD_DIFFERS, 5)]
    await tamper(factory, "UPDATE audit_event SET actor = 'nobody'", "DELETE FROM audit_seal")
    await factory.audit.seal()
    assert await faults(factory) == []
    earlier = Head(4, noted.hash)
    assert await faults(factory, earlier) == [(Fault.HEAD_DIFFERS, 4)]


async def test_retention_keeps_a_chain_that_verifies(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH", 3)
    monkeypatch.setattr(audit_verification, "CHUNK", 2)
    old = utc_now() - timedelta(days=factory.settings.audit_event_days + 1)
    for number in range(7):
        await record(factory, change(f"E{number}"), at=old + timedelta(seconds=number))
    await record(factory, change("E8"))
    assert await factory.audit.seal() == 8
    before = await verify(factory)
    await record(factory, change("E9"), at=old)  # not sealed, so it stays
    await factory.audit.forget(utc_now())
    after = await verify(factory)
    assert (after.start.sequence, after.head, after.is_intact) == (7, before.head, True)
    said = await trail(factory, action=["forgotten"])
    assert len(said) == 3, "an event for each batch"
    assert {each.employee_number for each in await trail(factory)} == {"E8", "E9", None}
    await factory.audit.seal(full=True)
    await factory.audit.forget(utc_now())  # the old one stands after younger ones: it goes with those
    assert (await verify(factory)).is_intact
    assert await faults(factory, before.head) == []
    assert await faults(factory, Head(7, after.start.hash)) == []
    assert await faults(factory, Head(3, "f" * 64)) == [(Fault.HEAD_DIFFERS, 3)]


async def test_a_redaction_leaves_that_it_happened(factory: Factory) -> None:
    await record(factory, change("E1"), change("E2"), change("E1", "Marsh"))
    await factory.audit.seal()
    await record(factory, change("E1", "Unsealed"))
    async with factory.database.write() as session:
        assert await redact_employee(await session.connection(), DISTRICT, "E1") == 3
    async with factory.database.write() as session:
        assert await redact_employee(await session.connection(), DISTRICT, "E1") == 0
    await factory.audit.seal()
    verified = await verify(factory)
    assert (verified.is_intact, verified.links, verified.redacted) == (True, 5, 3)
    events = await trail(factory)
    assert [each.employee_number for each in events] == [None, "E2", None, None, None]
    assert [each.content is None for each in events] == [True, False, True, True, False]
    assert events[-1].action == "redacted"
    assert "E1" not in str(events)
    assert await trail(factory, employee_number="E1") == []


async def test_a_redaction_that_no_event_tells_of_is_found(factory: Factory) -> None:
    await sealed_trail(factory, 3)
    first, second, _ = await trail(factory)
    await tamper(factory, "SELECT 1")
    await write(
        factory,
        sa.insert(audit_chain.redaction).values(
            event_id=first.id, district_id=DISTRICT, redaction_id=second.id
        ),
        sa.delete(payload).where(payload.c.event_id == first.id),
    )
    assert await faults(factory) == [(Fault.PAYLOAD_MISSING, 1)]
    async with factory.database.write() as session:
        assert await redact_employee(await session.connection(), DISTRICT, "E1") == 1
    await factory.audit.seal()
    assert (await verify(factory)).redacted == 1
    told = (await trail(factory))[-1]
    third = (await trail(factory))[2]
    await write(  # hides behind an event that tells of another redaction
        factory,
        sa.insert(audit_chain.redaction).values(
            event_id=third.id, district_id=DISTRICT, redaction_id=told.id
        ),
        sa.delete(payload).where(payload.c.event_id == third.id),
    )
    assert await faults(factory) == [(Fault.PAYLOAD_MISSING, 1), (Fault.PAYLOAD_MISSING, 3)]


async def test_a_beginning_that_was_cut_off_is_told_from_what_retention_deleted(factory: Factory) -> None:
    await sealed_trail(factory, 6)
    async with factory.database.write() as session:
        assert await audit_chain.forget(await session.connection(), DISTRICT, utc_now(), 2) == 2
    await factory.audit.seal()
    assert await faults(factory) == [], "an event tells of it"
    fourth = sa.select(seal.c.hash).where(seal.c.sequence == 4).scalar_subquery()
    forward = sa.update(audit_chain.anchor).values(sequence=4, hash=fourth)
    await write(factory, forward)  # as the triggers allow
    gone = sa.select(seal.c.event_id).where(seal.c.sequence <= 4)
    await write(factory, sa.delete(payload).where(payload.c.event_id.in_(gone)))
    await write(factory, sa.delete(event).where(event.c.id.in_(gone)))
    await write(factory, sa.delete(seal).where(seal.c.sequence <= 4))
    assert await faults(factory) == [(Fault.START_DIFFERS, 4)]
    await tamper(factory, "UPDATE audit_payload SET content = '[]'")
    assert (Fault.START_DIFFERS, 4) in await faults(factory), "what cannot be read tells nothing"


async def test_the_database_refuses_what_is_not_append_only(factory: Factory) -> None:
    await record(factory, change("E1"), change("E2"), change("E3"))
    await factory.audit.seal()
    async with factory.database.write() as session:
        connection = await session.connection()
        assert await audit_chain.forget(connection, DISTRICT, utc_now(), 1) == 1
        await redact_employee(connection, DISTRICT, "E2")
    known = await count(factory)
    columns = dict(zip(TABLES, ("actor", "content", "hash", "hash", "district_id"), strict=True))
    refused = [f"DELETE FROM {table}" for table in TABLES]
    refused += [f"UPDATE {table} SET {columns[table]} = 'x'" for table in TABLES]
    refused += [
        "UPDATE audit_anchor SET sequence = 0",
        "UPDATE audit_anchor SET sequence = 3",  # whose hash is another
        "DELETE FROM audit_seal WHERE sequence > 1",
    ]
    if factory.database.is_sqlite:
        refused += [f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}" for table in TABLES]
    else:
        refused += [f"TRUNCATE {table} CASCADE" for table in TABLES]
    for statement in refused:
        with pytest.raises(sa.exc.IntegrityError, match="append-only"):
            await write(factory, sa.text(statement))
    assert await count(factory) == known
    assert (await verify(factory)).is_intact


async def test_verify_goes_on_while_retention_goes_by(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_verification, "CHUNK", 2)
    await record_many(factory, 9)
    await factory.audit.seal()
    original, calls = audit_chain.links, 0

    async def links(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            async with factory.database.write() as session:
                await audit_chain.forget(await session.connection(), DISTRICT, utc_now(), 5)
        return await original(*arguments)

    monkeypatch.setattr(audit_chain, "links", links)
    verified = await verify(factory)
    assert verified.is_intact, verified.breaks
    assert verified.head.sequence == 9
