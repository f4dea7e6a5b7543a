"""Districts: the tenants of this deployment."""

import re
from typing import Any

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from app.constants import DEFAULT_DISTRICT, AuditAction, AuditRecord
from app.database import Database
from app.errors import ConflictError, FieldError, NotFoundError, ValidationFailedError
from app.models import District
from app.models.base import utc_now
from app.pipeline.layout import LayoutError, layout_for_state, parse_layout
from app.reach import everywhere, within_district
from app.services.schedule import rest
from app.settings import Settings
from app.settings.values import check_timezone
from app.storage import audit_events, districts
from app.storage.audit_events import Change

ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""Also the name of the district's directory in the download folder."""

log = structlog.get_logger()


class DistrictService:
    """The use cases of districts, for operators; no token reaches them."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def list(self) -> list[District]:
        """Return all districts by id."""
        with everywhere():
            async with self._database.read() as session:
                return await districts.all_districts(session)

    async def get(self, district_id: str) -> District:
        """Return a district; raises NotFoundError that says how to add it."""
        with within_district(district_id):
            async with self._database.read() as session:
                district = await districts.find(session, district_id)
        if district is None:
            raise _unknown(district_id)
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
        with within_district(district_id):
            async with self._database.write() as session:
                if await districts.find(session, district_id) is not None:
                    raise ConflictError(f"There is a district {district_id!r} already.")
                await _add(session, district)
        return district

    async def set_layout(self, district_id: str, toml: str | None) -> None:
        """Give a district a layout of its own, or with None that of its state.

        Raises LayoutError for a layout that cannot be used, NotFoundError for an unknown district.
        """
        if toml is not None:
            parse_layout(toml, f"of district {district_id}")
        with within_district(district_id):
            async with self._database.write() as session:
                before = (await _locked(session, district_id)).layout
                if toml == before:
                    return
                await districts.set_layout(session, district_id, toml)
                await _audit(session, district_id, AuditAction.CHANGED, {"layout": before}, {"layout": toml})

    async def pause(self, district_id: str) -> None:
        """Let a district's schedule rest; what goes on goes on, and people may start runs.

        Its tasks have no next run until it is resumed. Raises NotFoundError; repeating it is harmless.
        """
        with within_district(district_id):
            async with self._database.write() as session:
                if (await _locked(session, district_id)).paused_since is None:
                    await districts.pause(session, district_id, utc_now())
                    await _audit(session, district_id, AuditAction.PAUSED)
                await rest(session, district_id)
        log.info("district_paused", district=district_id)

    async def resume(self, district_id: str) -> None:
        """Let a district's schedule go on: the next tick places its tasks' next runs.

        What was due while it rested is not made up for. Raises NotFoundError.
        """
        with within_district(district_id):
            async with self._database.write() as session:
                if (await _locked(session, district_id)).paused_since is not None:
                    await districts.pause(session, district_id, None)
                    await _audit(session, district_id, AuditAction.RESUMED)
        log.info("district_resumed", district=district_id)

    async def ensure_default(self) -> None:
        """Give a new instance its first district (I15); does nothing when there is any.

        It leaves no audit event: it is no doing of anybody's, and such an instance still counts as empty.
        """
        default = District(
            id=DEFAULT_DISTRICT, name="Default district", timezone=self._settings.default_timezone
        )
        with everywhere():
            async with self._database.write() as session:
                if not await districts.all_districts(session):
                    session.add(default)


async def _locked(session: AsyncSession, district_id: str) -> District:
    """Return a district that nobody else changes until the transaction ends, so that its event tells true."""
    await districts.lock(session, district_id)
    district = await districts.find(session, district_id)
    if district is None:
        raise _unknown(district_id)
    return district


def _unknown(district_id: str) -> NotFoundError:
    return NotFoundError(f"There is no district {district_id!r}; add it with: certsync districts add")


async def _add(session: AsyncSession, district: District) -> None:
    session.add(district)
    await session.flush()
    after = {name: getattr(district, name) for name in ("name", "state", "timezone")}
    await _audit(session, district.id, AuditAction.ADDED, None, after)


async def _audit(
    session: AsyncSession,
    district_id: str,
    action: AuditAction,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    change = Change(action, AuditRecord.DISTRICT, district_id, before, after)
    await audit_events.record(await session.connection(), district_id, change)


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
