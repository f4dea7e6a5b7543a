"""Puts a world's roster into an empty database."""

from app import migrations
from app.constants import DEFAULT_DISTRICT
from app.demo.world import World
from app.factory import Factory
from app.settings import Settings

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
