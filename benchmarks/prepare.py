"""What every part begins with: a seeded world, an empty database of its own with the world's roster."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from app import migrations
from app.constants import DEFAULT_DISTRICT
from app.demo.vermont import TEACHING_JOBS
from app.demo.world import World, make_world, write_licence_file
from app.factory import Factory
from app.settings import Settings
from tests.support.postgres import PostgresCluster

BULK = 10_000
FIELDS = (
    "state_staff_id",
    "middle_name",
    "legal_last_name",
    "legal_first_name",
    "former_last_name",
    "job_class",
)


async def prepare(settings: Settings, world: World) -> None:
    """Migrate, and load job classes and employees."""
    migrations.upgrade(settings)
    factory = Factory(settings)
    try:
        await factory.districts.ensure_default()
        for job in world.job_classes:
            await factory.job_classes.put(
                DEFAULT_DISTRICT, job["code"], job["title"], job["certification_required"], None
            )
        people = [dict.fromkeys(FIELDS) | person for person in world.employees]
        for start in range(0, len(people), BULK):
            await factory.employees.put_all(DEFAULT_DISTRICT, people[start : start + BULK])
    finally:
        await factory.close()


def licence_file(employees: int, rows: int, directory: Path) -> tuple[World, Path]:
    """Make a world in which everybody needs a licence, as that makes the most work, and its licence file."""
    world = make_world_of(employees, rows)
    return world, write_licence_file(world, directory)


def make_world_of(employees: int, rows: int) -> World:
    """Make the seeded world of that size, of people who all need a licence."""
    return make_world(employees=employees, rows=rows, today=datetime.now(UTC).date(), jobs=TEACHING_JOBS)


@contextmanager
def settings_of(database: str, directory: Path) -> Iterator[Settings]:
    """Yield the settings of an empty database of its own."""
    directory.mkdir()
    if database == "sqlite":
        yield Settings(data_dir=directory)
        return
    cluster = PostgresCluster(fsync=True)
    try:
        yield Settings(data_dir=directory, database_url=SecretStr(cluster.create_database()))
    finally:
        cluster.stop()


def spread(values: list[float], digits: int = 2) -> str:
    """Return median, least and most as text."""
    return f"{statistics.median(values):8.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"
