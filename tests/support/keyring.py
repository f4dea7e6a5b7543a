"""Instances that have the same database and different encryption keys, and stored values of every kind."""

from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr
from sqlmodel import SQLModel

from app.constants import ConnectionAction, ConnectionPhase, RunStatus
from app.crypto import Cipher, new_key
from app.factory import Factory
from app.failures import SftpFingerprintMismatch
from app.models import ConnectionEvent
from app.models.base import utc_now
from app.pipeline.connection_trail import Actor
from app.settings import Settings
from app.storage import connection_events, runs, sftp_connection
from app.storage.pages import PageRequest
from app.storage.sftp_connection import Proposed, connection
from app.storage.ssh_algorithms import algorithms
from app.storage.ssh_attempt import Attempt, SftpTarget
from tests.support.imports import add_district, run_table, select, write
from tests.support.runs import ended_run

OLD, NEW, THIRD = new_key(), new_key(), new_key()
HILL, LAKE = "hill", "lake"
DISTRICTS = (HILL, LAKE)
ENCRYPTED = [
    column for table in SQLModel.metadata.tables.values() for column in table.c if "encrypted" in column.name
]
PASSWORD = "opens the state's server, "
ANNOUNCED = "SHA256:" + "B" * 43
OFFERED = "SHA256:" + "C" * 43
ERROR_LOG = "phase: connect\nuser: d***\n"


def key_id(key: str) -> str:
    return Cipher([b64decode(key)]).key_ids[0]


def with_keys(settings: Settings, *keys: str) -> Settings:
    return settings.model_copy(update={"encryption_keys": [SecretStr(key) for key in keys]})


@asynccontextmanager
async def process(settings: Settings, *keys: str) -> AsyncIterator[Factory]:
    """The parts of a process that was started with these keys."""
    factory = Factory(with_keys(settings, *keys))
    try:
        yield factory
    finally:
        await factory.close()


def target(district: str, **changes: Any) -> SftpTarget:
    values: dict[str, Any] = {
        "host": f"sftp.{district}.example",
        "port": 22,
        "username": f"user-of-{district}",
        "password": SecretStr(PASSWORD + district),
        "private_key": None,
        "fingerprint": "SHA256:" + "A" * 43,
        "directory": "/out",
    }
    return SftpTarget(**values | changes)


async def save(factory: Factory, district: str, **changes: Any) -> None:
    """Save a connection as an administrator of the district does."""
    await factory.connections.put(district, "admin", asdict(target(district, **changes)), None)


async def fill(factory: Factory) -> None:
    """Store a value in every encrypted column, for two districts, as the service itself does."""
    for district in DISTRICTS:
        await add_district(factory, district)
        await use(factory, district)
        async with factory.database.write() as session:
            run = ended_run(RunStatus.FAILED, district_id=district)
            run.error_log_encrypted = factory.cipher.encrypt(ERROR_LOG, runs.error_log_place(run.id))
            session.add(run)
        key = factory.cipher.encrypt(f"key of {district}", f"sftp_connection/private_key/{district}")
        await write(
            factory,
            sa.update(connection)
            .where(connection.c.district_id == district)
            .values(private_key_encrypted=key),
        )


async def use(factory: Factory, district: str) -> None:
    """Save a connection with an announced key; meet another one, which somebody proposes to accept."""
    await save(factory, district, announced_fingerprint=ANNOUNCED)
    await meet_another_host_key(factory, district)
    async with factory.database.write() as session:
        row = await sftp_connection.find(session, district)
        assert row is not None
        proposed = Proposed(target(district), "admin", utc_now())
        await sftp_connection.propose(session, factory.cipher, row, proposed)


async def meet_another_host_key(factory: Factory, district: str) -> None:
    """Note what a test by hand saw of a server that shows another host key."""
    loaded = await factory.attempts.load(district)
    facts = {"phase": ConnectionPhase.HOST_KEY, "offered": [{"algorithm": "ssh-rsa", "fingerprint": OFFERED}]}
    failure = SftpFingerprintMismatch("another host key", diagnosis=facts)
    actor = Actor(district, ConnectionAction.TEST, "admin")
    await factory.attempts.record(actor, Attempt(loaded.target, algorithms()), failure, loaded.version)


async def readable(factory: Factory) -> None:
    """Fail unless everything that `fill` stored is read by this process, through the service."""
    for district in DISTRICTS:
        loaded = await factory.attempts.load(district)
        found = loaded.target
        assert found.announced_fingerprint == ANNOUNCED
        assert [key.fingerprint for key in loaded.standing.offered] == [OFFERED]
        async with factory.database.read() as session:
            row = await sftp_connection.find(session, district)
            assert row is not None
            proposed = await sftp_connection.find_proposal(session, factory.cipher, row)
        assert proposed is not None
        assert proposed.target == target(district)
        assert found.username == f"user-of-{district}"
        assert found.password
        assert found.password.get_secret_value().startswith(PASSWORD)
        events = (await factory.connection_events.page(district, PageRequest(limit=10))).items
        assert {event.action for event in events} == {"saved", "test"}
        for event in events:
            assert (event.host, event.username) == (f"sftp.{district}.example", f"user-of-{district}")
        [run] = await select(factory, sa.select(run_table.c.id).where(run_table.c.district_id == district))
        assert await factory.runs.error_log(district, run["id"]) == ERROR_LOG


async def stored(factory: Factory) -> dict[str, list[str]]:
    """Every ciphertext as it is stored, by column."""
    found = {}
    for column in ENCRYPTED:
        rows = await select(factory, sa.select(column).where(column.is_not(None)))
        found[str(column)] = [row[column.name] for row in rows]
    return found


async def key_ids(factory: Factory) -> set[str]:
    """Under which keys values are stored."""
    return {value.split(".")[1] for values in (await stored(factory)).values() for value in values}


async def add_events(factory: Factory, number: int) -> None:
    """Store many events of a district."""
    events = []
    for _ in range(number):
        event = ConnectionEvent(
            district_id=HILL, host_encrypted="", port=22, username_encrypted="", succeeded=True,
            phase=ConnectionPhase.LIST, message="",
        )  # fmt: skip
        for name in ("host", "username"):
            sealed = factory.cipher.encrypt("a text", connection_events.place(name, event.id))
            setattr(event, f"{name}_encrypted", sealed)
        events.append(event)
    async with factory.database.write() as session:
        session.add_all(events)
