"""A whole deployment that has been in use, for programs that call it with whatever comes to their mind."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa
from pydantic import SecretStr

from app.constants import EVERY_DISTRICT, FINAL_STATUSES, Role
from app.factory import Factory
from app.migrations import upgrade
from app.models import JobClass, ServiceToken, Task
from app.services import run_reporting
from app.services.tokens import issue_token
from app.settings import Settings
from tests.support.imports import (
    DISTRICT,
    add_district,
    certification,
    employee_table,
    empty_pdf,
    endorsement,
    run_table,
)
from tests.support.lived_in import live_in
from tests.support.service import running_service

ELSEWHERE = "elsewhere"
"""A second district, with nothing in it."""
KNOWN = 5
"""Of each kind of record, how many are told."""
ENVIRONMENT = {
    "CERTSYNC_RATE_LIMIT_PER_MINUTE": "0",
    "CERTSYNC_PDF_TIMEOUT": "600",  # the machine is busy
    "CERTSYNC_SFTP_DENIED_NETWORKS": "0.0.0.0/0,::/0",  # a made-up host must not be connected to
    "RES_OPTIONS": "timeout:1 attempts:1",  # nor be looked up for long
}


@dataclass
class Instance:
    """Where it listens, tokens for it, and names of what it has: `known["path.run_id"]`, for example."""

    url: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    known: dict[str, list[str]] = field(default_factory=dict)
    log: Path = Path()


def prepare(settings: Settings, directory: Path) -> Instance:
    """Migrate an empty database and fill it."""
    upgrade(settings)
    return asyncio.run(_fill(settings, directory))


async def _fill(settings: Settings, directory: Path) -> Instance:
    factory = Factory(settings)
    try:
        await add_district(factory, DISTRICT)
        await add_district(factory, ELSEWHERE)
        with patch.object(run_reporting, "render_pdf", empty_pdf):
            await live_in(factory, directory)
        return Instance(tokens=_tokens(factory), known=await _known(factory))
    finally:
        await factory.close()


def _tokens(factory: Factory) -> dict[str, str]:
    users = {
        "admin": (Role.ADMIN, DISTRICT),
        "stranger": (Role.ADMIN, ELSEWHERE),
        "ops": (Role.OPS, EVERY_DISTRICT),
    }
    key = factory.authentication.signing_key
    return {
        user: issue_token(key, user, role, district, timedelta(hours=24))
        for user, (role, district) in users.items()
    }


async def _known(factory: Factory) -> dict[str, list[str]]:
    # The stream of events of a run that waits would not end soon.
    ended = sa.select(run_table.c.id).where(run_table.c.status.in_(FINAL_STATUSES)).subquery()
    columns: dict[str, Any] = {
        "path.certification_id": certification.c.public_id,
        "path.endorsement_id": endorsement.c.public_id,
        "path.employee_number": employee_table.c.employee_number,
        "path.code": JobClass.code,
        "path.task_id": Task.id,
        "path.run_id": ended.c.id,
        "path.token_id": ServiceToken.id,
    }
    async with factory.database.engine.connect() as connection:
        return {
            name: [str(value) for value in await connection.scalars(sa.select(column).limit(KNOWN))]
            for name, column in columns.items()
        }


@contextmanager
def running_instance(data_dir: Path, url: str | None) -> Iterator[Instance]:
    """Fill an instance on SQLite, or on the empty PostgreSQL database at `url`, and start all of it."""
    settings = Settings(data_dir=data_dir, database_url=SecretStr(url) if url else None)
    files = data_dir / "licences"
    files.mkdir()
    instance = prepare(settings, files)
    variables = ENVIRONMENT | ({"CERTSYNC_DATABASE_URL": url} if url else {})
    with running_service(data_dir, **variables) as service:
        instance.url = f"http://127.0.0.1:{service.port}"
        instance.log = service.log
        yield instance
