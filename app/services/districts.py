"""Districts: the tenants of this deployment."""

import re

import structlog

from app.constants import DEFAULT_DISTRICT
from app.database import Database
from app.errors import ConflictError, FieldError, NotFoundError, ValidationFailedError
from app.models import District
from app.models.base import utc_now
from app.pipeline.layout import LayoutError, layout_for_state, parse_layout
from app.services.schedule import rest
from app.settings import Settings, check_timezone
from app.storage import districts

ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""Also the name of the district's directory in the download folder."""

log = structlog.get_logger()


async def district_exists(database: Database, district_id: str) -> bool:
    """Tell whether the district is known here."""
    async with database.read() as session:
        return await districts.find(session, district_id) is not None


class DistrictService:
    """The use cases of districts, for operators; no token reaches them."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def list(self) -> list[District]:
        """Return all districts by id."""
        async with self._database.read() as session:
            return await districts.all_districts(session)

    async def get(self, district_id: str) -> District:
        """Return a district; raises NotFoundError that says how to add it."""
        async with self._database.read() as session:
            district = await districts.find(session, district_id)
        if district is None:
            raise NotFoundError(f"There is no district {district_id!r}; add it with: certsync districts add")
        return district

    async def add(self, district_id: str, name: str | None, state: str, timezone: str | None) -> District:
        """Add a district; raises ValidationFailedError naming what is wrong, ConflictError if it is there."""
        district = District(
            id=district_id,
            name=name or district_id,
            state=state.upper(),
            timezone=timezone or self._settings.default_timezone,
        )
        check(district)
        async with self._database.write() as session:
            if await districts.find(session, district_id) is not None:
                raise ConflictError(f"There is a district {district_id!r} already.")
            session.add(district)
        return district

    async def set_layout(self, district_id: str, toml: str | None) -> None:
        """Give a district a layout of its own, or with None that of its state.

        Raises LayoutError for a layout that cannot be used, NotFoundError for an unknown district.
        """
        if toml is not None:
            parse_layout(toml, f"of district {district_id}")
        await self.get(district_id)
        async with self._database.write() as session:
            await districts.set_layout(session, district_id, toml)

    async def pause(self, district_id: str) -> None:
        """Let a district's schedule rest; what goes on goes on, and people may start runs.

        Its tasks have no next run until it is resumed. Raises NotFoundError; repeating it is harmless.
        """
        district = await self.get(district_id)
        async with self._database.write() as session:
            if district.paused_since is None:
                await districts.pause(session, district_id, utc_now())
            await rest(session, district_id)
        log.info("district_paused", district=district_id)

    async def resume(self, district_id: str) -> None:
        """Let a district's schedule go on: the next tick places its tasks' next runs.

        What was due while it rested is not made up for. Raises NotFoundError.
        """
        await self.get(district_id)
        async with self._database.write() as session:
            await districts.pause(session, district_id, None)
        log.info("district_resumed", district=district_id)

    async def ensure_default(self) -> None:
        """Give a new instance its first district (I15); does nothing when there is any."""
        async with self._database.write() as session:
            if not await districts.all_districts(session):
                session.add(
                    District(
                        id=DEFAULT_DISTRICT, name="Default district", timezone=self._settings.default_timezone
                    )
                )


def check(district: District) -> None:
    """Raise ValidationFailedError naming every fault of a new district."""
    faults = []
    if not ID.fullmatch(district.id):
        faults.append(FieldError(("id",), "use 1 to 63 lower-case letters, digits and hyphens"))
    try:
        check_timezone(district.timezone)
    except ValueError as error:
        faults.append(FieldError(("timezone",), str(error)))
    try:
        layout_for_state(district.state)
    except LayoutError as error:
        faults.append(FieldError(("state",), str(error)))
    if faults:
        raise ValidationFailedError("The district cannot be added.", errors=faults)
