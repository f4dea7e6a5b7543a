"""A newcomer's instance that has been in use: imports, edits, a schedule, failures."""

from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from app.access import Scope
from app.demo.world import World, make_world, write_licence_file
from app.factory import Factory
from app.models import ConnectionProposal, ConnectionState, FileRemoval, Task
from app.models.base import utc_now
from app.storage import audit_chain, token_reads
from app.storage.audit_redaction import redact_employee
from tests.support.imports import COLUMNS, DISTRICT, certification, run_import, select, succeed, write_file
from tests.support.schedules import create, tick

TODAY = date(2026, 11, 20)
PASSWORD = "a secret that is stored encrypted"
CONNECTION = {
    "host": "127.0.0.1",
    "port": 1,  # nobody listens there
    "username": "district",
    "password": SecretStr(PASSWORD),
    "private_key": None,
    "fingerprint": "SHA256:" + "A" * 43,
    "directory": "/out",
}


def small_state() -> World:
    """Two hundred employees, and what the state knows of them."""
    return make_world(seed=7, employees=200, rows=1000, today=TODAY)


async def live_in(factory: Factory, directory: Path) -> tuple[Path, Task]:
    """Fill an instance that has the default district; return the file imported last, and a daily task."""
    world = small_state()
    for job in world.job_classes:
        await factory.job_classes.put(
            DISTRICT, job["code"], job["title"], job["certification_required"], None
        )
    await factory.employees.put_all(DISTRICT, world.employees)
    await factory.connections.put(DISTRICT, "admin", CONNECTION, None)
    async with factory.database.write() as session:
        session.add(ConnectionState(district_id=DISTRICT, connection_version=0, login_failures=2))
        session.add(
            ConnectionProposal(
                district_id=DISTRICT, connection_version=0, content_encrypted="sealed", proposed_by="admin"
            )
        )
        session.add(FileRemoval(key="reports/gone.pdf", district_id=DISTRICT, due_at=utc_now()))
    await factory.service_tokens.create(DISTRICT, "admin", "erp-sync", [Scope.RUNS_READ], None)
    task = await create(factory)
    await create(factory, status="inactive", description="never")
    await tick(factory)
    path = write_licence_file(world, directory)
    await succeed(factory, path)
    await edit_one(factory, "2031-06-30")
    await succeed(factory, path)  # goes over the edit
    await edit_one(factory, "2032-06-30")  # pending
    refused = write_file(directory, [["1", "Roy"]], "20260101", COLUMNS[:2])
    assert (await run_import(factory, refused)).status == "failed"
    await leave_a_trail(factory)
    return path, task


async def edit_one(factory: Factory, expiration: str) -> Any:
    """Change a certification by hand and return it."""
    [chosen] = await select(
        factory, sa.select(certification.c.public_id).order_by(certification.c.public_id).limit(1)
    )
    fields = {"expiration_date": date.fromisoformat(expiration)}
    return await factory.certifications.change(DISTRICT, "kmarsh", chosen["public_id"], fields, None)


async def leave_a_trail(factory: Factory) -> None:
    """Let the audit trail be sealed, its first event be forgotten, and one person be redacted."""
    await factory.audit.seal()
    async with factory.database.write() as session:
        connection = await session.connection()
        assert await audit_chain.forget(connection, DISTRICT, utc_now(), 1) == 1
        assert await redact_employee(connection, DISTRICT, small_state().employees[-1]["employee_number"])
        [token] = await factory.service_tokens.list(DISTRICT)
        key = token_reads.Key(DISTRICT, token.id, TODAY, "employees")
        await token_reads.add(connection, {key: token_reads.Counts(1, 200)})
    await factory.audit.seal()
