"""The audit trail as tests look at it, and as somebody with a password of the database can spoil it."""

from typing import Any

import sqlalchemy as sa

from app.constants import AuditAction, AuditRecord
from app.factory import Factory
from app.models.base import utc_now
from app.storage import audit_events
from app.storage.audit_events import Change
from app.storage.pages import PageRequest
from tests.support.imports import DISTRICT

TABLES = ("audit_event", "audit_payload", "audit_seal", "audit_anchor", "audit_redaction")


def change(number: str = "E1", name: str = "Roy") -> Change:
    """An employee's change of name."""
    return Change(
        AuditAction.CHANGED, AuditRecord.EMPLOYEE, number, {"last_name": "Ray"}, {"last_name": name}, number
    )


async def record(
    factory: Factory, *changes: Change, district_id: str = DISTRICT, at: Any = None
) -> list[Any]:
    """Record changes in a transaction of their own."""
    async with factory.database.write() as session:
        return await audit_events.record(await session.connection(), district_id, *changes, at=at)


async def record_many(factory: Factory, number: int, district_id: str = DISTRICT) -> None:
    await record(factory, *(change(f"E{each}") for each in range(number)), district_id=district_id)


async def trail(factory: Factory, district_id: str = DISTRICT, **filters: Any) -> list[Any]:
    """Every event, the oldest first."""
    return [event async for event in factory.audit.export(district_id, filters)]


async def newest(factory: Factory, district_id: str = DISTRICT) -> Any:
    return (await factory.audit.page(district_id, PageRequest(1))).items[0]


async def count(factory: Factory, district_id: str = DISTRICT) -> int:
    return len(await trail(factory, district_id))


def disarm(factory: Factory, *tables: str) -> list[str]:
    """Return statements that take the triggers away, which the owner of the tables can."""
    if factory.database.is_sqlite:
        return [
            f"DROP TRIGGER IF EXISTS {table}_{kind}"
            for table in tables or TABLES
            for kind in ("change", "delete", "replace", "insert")
        ]
    return [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables or TABLES]


async def tamper(factory: Factory, *statements: str) -> None:
    """Do what the triggers refuse, as the owner of the database can."""
    async with factory.database.write() as session:
        connection = await session.connection()
        for statement in (*disarm(factory), *statements):
            await connection.execute(sa.text(statement))


async def sealed_trail(factory: Factory, number: int = 5) -> None:
    """Record so many events, one transaction each, and seal them."""
    for each in range(number):
        await record(factory, change(f"E{each}"), at=utc_now())
    await factory.audit.seal()
