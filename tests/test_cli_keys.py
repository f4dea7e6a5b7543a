"""`certsync keys`, and the start of processes that lack a key, as an operator meets them."""

import asyncio
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from app.child_process import ChildProcess, start_child
from app.settings import Settings
from tests.support.commands import certsync, refused, succeeded
from tests.support.keyring import (
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
)
from tests.support.queueing import SECONDS

VALUES = 30
"""What `fill` stores."""


def environment(settings: Settings, *keys: str) -> dict[str, str]:
    """Of a process with these keys."""
    found = {"CERTSYNC_ENCRYPTION_KEYS": ",".join(keys)}
    if settings.database_url:
        found["CERTSYNC_DATABASE_URL"] = settings.database_url.get_secret_value()
    return found


@pytest.fixture
async def filled(settings: Settings) -> Settings:
    async with process(settings, OLD) as factory:
        await fill(factory)
    return settings


def test_a_fresh_key_stands_alone_and_needs_no_instance(tmp_path: Path) -> None:
    first, second = (succeeded(certsync(tmp_path, "keys", "generate")) for _ in range(2))
    assert len(b64decode(first, validate=False)) == 32
    assert first != second
    assert first.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


async def test_keys_are_listed_rotated_and_taken_out(filled: Settings) -> None:
    def run(*words: str, keys: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return certsync(filled.data_dir, "keys", *words, **environment(filled, *keys))

    listed = succeeded(run("list", keys=(NEW, OLD))).splitlines()
    [primary] = [line for line in listed if key_id(NEW) in line]
    [other] = [line for line in listed if key_id(OLD) in line]
    assert "encrypts" in primary
    assert f" {VALUES} " in other
    told = succeeded(run("rotate", keys=(NEW, OLD)))
    assert f"{VALUES} values were encrypted anew" in told
    assert f"Not used any more: {key_id(OLD)}" in told
    assert "0 values were encrypted anew" in succeeded(run("rotate", keys=(NEW, OLD)))
    assert "Not used" not in succeeded(run("rotate", keys=(NEW,)))
    async with process(filled, NEW) as factory:
        await readable(factory)


async def test_production_rotates_a_made_up_key_away(settings: Settings) -> None:
    """A release before took such keys; the upgrade must not be the end of what is under them."""
    made_up = b64encode(b"correct horse battery staple 123").decode()
    async with process(settings, made_up) as factory:
        await fill(factory)

    def run(*keys: str) -> subprocess.CompletedProcess[str]:
        production = {
            "CERTSYNC_ENVIRONMENT": "production",
            "CERTSYNC_SECRET_KEY": THIRD,
            "CERTSYNC_ALLOW_INSTANCE_TOKENS": "true",
        }
        return certsync(settings.data_dir, "keys", "rotate", **environment(settings, *keys), **production)

    refused(run(made_up), "not random", "certsync keys rotate")
    rotated = run(NEW, made_up)
    assert f"{VALUES} values were encrypted anew" in succeeded(rotated)
    assert "encryption_key_not_random" in rotated.stderr
    assert "encryption_key_not_random" not in run(NEW).stderr
    async with process(settings, NEW) as factory:
        await readable(factory)


async def test_a_rotation_that_is_not_complete_says_what_to_do(filled: Settings) -> None:
    ended = certsync(filled.data_dir, "keys", "rotate", **environment(filled, NEW))
    assert ended.returncode == 1
    assert f"{VALUES} values are under {key_id(OLD)}, which is not in the list" in ended.stdout


async def test_a_lost_key_is_discarded_only_on_purpose(filled: Settings) -> None:
    variables = environment(filled, NEW)
    asked = certsync(filled.data_dir, "keys", "discard", key_id(OLD), **variables)
    assert asked.returncode == 1
    assert f"connections of 2 districts: {HILL}, {LAKE}" in asked.stdout
    assert "--yes" in asked.stdout
    refused(certsync(filled.data_dir, "keys", "discard", "nonsense", "--yes", **variables), "keys list")
    told = succeeded(certsync(filled.data_dir, "keys", "discard", key_id(OLD), "--yes", **variables))
    assert "save their connections again" in told
    async with process(filled, NEW) as factory:
        await factory.keys.check()
        assert await key_ids(factory) == {key_id(NEW)}


@pytest.mark.parametrize("command", ["serve", "worker", "up"])
async def test_no_service_starts_without_a_key_that_is_used(filled: Settings, command: str) -> None:
    ended = certsync(filled.data_dir, command, **environment(filled, NEW, THIRD))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    for text in (key_id(OLD), f"{VALUES} values", "Add the keys to the list", "certsync keys discard"):
        assert text in ended.stderr


async def start_rotation(settings: Settings) -> ChildProcess:
    variables = environment(settings, NEW, OLD) | {"CERTSYNC_DATA_DIR": str(settings.data_dir)}
    return await start_child([sys.executable, "-m", "app.cli", "keys", "rotate"], env=variables)


async def test_a_rotation_that_is_killed_loses_nothing(filled: Settings) -> None:
    async with process(filled, NEW, OLD) as factory:
        async with process(filled, OLD) as old:
            await add_events(old, 3000)
        rotating = await start_rotation(filled)
        async with asyncio.timeout(SECONDS):
            while not (await factory.keys.uses())[0].values:
                await asyncio.sleep(0)
        rotating.kill()
        await rotating.wait()
        rotation = await factory.keys.rotate()
        assert (rotation.is_complete, rotation.refused) == (True, [])
        [primary, _] = rotation.uses
        assert primary.values == VALUES + 2 * 3000


async def test_processes_go_on_while_keys_are_rotated(filled: Settings) -> None:
    """One that was started with the old key first, and one with the new: both can read throughout."""
    async with process(filled, OLD, NEW) as one, process(filled, NEW, OLD) as other:
        rotating = asyncio.create_task((await start_rotation(filled)).wait())
        while not rotating.done():
            await readable(one)
            await readable(other)
        assert rotating.result() == 0
        assert await key_ids(other) == {key_id(NEW)}
        await readable(one)
