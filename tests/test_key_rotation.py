"""Rotation of encryption keys: nothing is lost, whoever else writes, and whenever it is killed."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from app.database import Database
from app.errors import ConfigurationError, ServiceUnavailableError
from app.factory import Factory
from app.settings import Settings
from app.storage import encrypted
from app.storage.sftp_connection import connection
from tests.support.databases import in_every_mode
from tests.support.imports import run_table, write
from tests.support.keyring import (
    ENCRYPTED,
    HILL,
    LAKE,
    NEW,
    OLD,
    THIRD,
    add_events,
    fill,
    key_id,
    key_ids,
    process,
    readable,
    save,
    stored,
    use,
)


@pytest.fixture
async def old(settings: Settings) -> AsyncIterator[Factory]:
    """A process that has the old key only; everything is stored under it."""
    async with process(settings, OLD) as factory:
        await fill(factory)
        yield factory


@pytest.fixture
async def both(old: Factory) -> AsyncIterator[Factory]:
    """A process that has the new key first."""
    async with process(old.settings, NEW, OLD) as factory:
        yield factory


@in_every_mode
async def test_every_encrypted_column_of_the_models_is_encrypted_anew(both: Factory) -> None:
    before = await stored(both)
    assert len(before) == len(ENCRYPTED) == 12, "store a value of a new column in `fill`, and count it here"
    assert all(before.values())
    rotation = await both.keys.rotate()
    assert rotation.is_complete
    assert rotation.renewed == sum(map(len, before.values()))
    assert await key_ids(both) == {key_id(NEW)}
    await readable(both)


def test_a_ciphertext_has_no_place_in_a_column_that_rotation_would_not_find() -> None:
    with pytest.raises(ValueError, match="_encrypted"):
        encrypted.place(run_table.c.failure_message, "7")


async def test_no_process_ever_meets_a_key_that_it_lacks(settings: Settings) -> None:
    """The documented steps: at each, processes of the step before go on beside those of the next."""
    steps = [(OLD,), (OLD, NEW), (NEW, OLD), (NEW,)]
    async with process(settings, OLD) as first:
        await fill(first)
    for before, after in pairwise(steps):
        if after == (NEW,):
            async with process(settings, NEW, OLD) as command:
                assert (await command.keys.rotate()).is_complete
        async with process(settings, *before) as one, process(settings, *after) as other:
            for writer, reader in ((one, other), (other, one)):
                await use(writer, HILL)
                await readable(reader)
                await reader.keys.check()
    async with process(settings, OLD) as forgotten:
        with pytest.raises(ConfigurationError, match=key_id(NEW)):
            await forgotten.keys.check()


async def test_a_connection_that_is_saved_meanwhile_stays_as_saved(
    both: Factory, old: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = both.keys._exchange

    async def saved_first(column: sa.Column[Any], fresh: Any) -> int:
        if column.name == "password_encrypted":
            await save(old, HILL, password=SecretStr("the newest"))
        return await exchange(column, fresh)

    monkeypatch.setattr(both.keys, "_exchange", saved_first)
    rotation = await both.keys.rotate()
    found = (await both.attempts.load(HILL)).target.password
    assert found
    assert found.get_secret_value() == "the newest"
    assert not rotation.is_complete, "that process has the old key first"
    monkeypatch.undo()
    assert (await both.keys.rotate()).is_complete
    found = (await both.attempts.load(HILL)).target.password
    assert found
    assert found.get_secret_value() == "the newest"


@pytest.mark.parametrize("batches", [1, 5, 9])
async def test_what_is_killed_leaves_everything_readable_and_is_done_by_the_next(
    both: Factory, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    monkeypatch.setattr(encrypted, "BATCH", 1)
    exchange, left = encrypted.exchange, iter(range(batches))

    async def killed(*arguments: Any) -> int:
        done = await exchange(*arguments)
        if next(left, None) is None:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(encrypted, "exchange", killed)
    with pytest.raises(KeyboardInterrupt):
        await both.keys.rotate()
    monkeypatch.setattr(encrypted, "exchange", exchange)
    assert await key_ids(both) == {key_id(OLD), key_id(NEW)}
    await readable(both)
    total = sum(map(len, (await stored(both)).values()))
    assert (await both.keys.rotate()).renewed == total - batches
    after = await stored(both)
    assert (await both.keys.rotate()).renewed == 0
    assert await stored(both) == after


async def test_two_at_once_do_the_work_once(
    both: Factory, old: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encrypted, "BATCH", 7)
    await add_events(old, 40)
    total = sum(map(len, (await stored(both)).values()))
    async with process(both.settings, NEW, OLD) as other:
        rotations = await asyncio.gather(both.keys.rotate(), other.keys.rotate())
    assert sum(rotation.renewed for rotation in rotations) == total
    assert await key_ids(both) == {key_id(NEW)}


async def test_an_import_that_keeps_writers_out_is_waited_for(
    both: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refusals = Database.write, iter(range(3))

    def busy(database: Database) -> Any:
        if next(refusals, None) is not None:
            raise ServiceUnavailableError("The database is busy with another change.")
        return real(database)

    monkeypatch.setattr(Database, "write", busy)
    assert (await both.keys.rotate()).is_complete


async def test_what_was_altered_is_left_as_it_is_and_named(both: Factory) -> None:
    await write(
        both,
        sa.update(connection)
        .where(connection.c.district_id == HILL)
        .values(password_encrypted=connection.c.username_encrypted),
    )
    rotation = await both.keys.rotate()
    assert not rotation.is_complete
    assert rotation.refused == [f"sftp_connection/password/{HILL}"]
    assert (await both.keys.discard(key_id(OLD), confirmed=True)).districts == [HILL]
    await both.attempts.load(LAKE)


async def test_a_lost_key_is_told_and_discarded(both: Factory) -> None:
    """One district has saved its connection since, so that its own is readable."""
    under_old = sum(map(len, (await stored(both)).values()))
    async with process(both.settings, THIRD) as without:
        with pytest.raises(ConfigurationError, match=f"{key_id(OLD)} \\({under_old} values\\)"):
            await without.keys.check()
        await save(without, LAKE)
        before = await stored(without)
        loss = await without.keys.discard(key_id(OLD), confirmed=False)
        texts = [
            value
            for column, values in before.items()
            for value in values
            if not column.startswith("sftp_connection") and value.split(".")[1] == key_id(OLD)
        ]
        assert (loss.districts, loss.texts) == ([HILL], len(texts))
        assert len(texts) > 10
        assert await stored(without) == before
        await without.keys.discard(key_id(OLD), confirmed=True)
        await without.keys.check()
        assert await key_ids(without) == {key_id(THIRD)}
        assert (await without.attempts.load(LAKE)).target.username == f"user-of-{LAKE}"
        with pytest.raises(ConfigurationError, match="No stored value"):
            await without.keys.discard(key_id(OLD), confirmed=True)
        await save(without, HILL)
        assert (await without.connections.get(HILL)).has_password


async def test_what_decrypts_is_never_discarded(both: Factory) -> None:
    before = await stored(both)
    loss = await both.keys.discard(key_id(OLD), confirmed=True)
    assert (loss.districts, loss.texts) == ([], 0)
    assert await stored(both) == before
