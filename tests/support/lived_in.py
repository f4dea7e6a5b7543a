"""A newcomer's instance that has been in use: imports, edits, a schedule, failures."""

from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from app.demo.world import World, make_world, write_licence_file
from app.factory import Factory
from app.models import Task
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
    return path, task


async def edit_one(factory: Factory, expiration: str) -> Any:
    """Change a certification by hand and return it."""
    [chosen] = await select(
        factory, sa.select(certification.c.public_id).order_by(certification.c.public_id).limit(1)
    )
    fields = {"expiration_date": date.fromisoformat(expiration)}
    return await factory.certifications.change(DISTRICT, "kmarsh", chosen["public_id"], fields, None)
