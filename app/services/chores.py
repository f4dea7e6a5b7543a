"""Work that goes from one district to the next."""

import math
import time
from collections.abc import Awaitable, Callable

import structlog

from app.database import Database
from app.logs import trace
from app.reach import everywhere, within_district
from app.storage import districts

log = structlog.get_logger()


async def every_district(database: Database) -> list[str]:
    """Return the ids of all districts, for chores that go from one to the next."""
    with everywhere():
        async with database.read() as session:
            return await districts.all_ids(await session.connection())


async def for_each_district(
    database: Database, chore: Callable[[str], Awaitable[object]], until: float = math.inf
) -> None:
    """Do a chore for one district after the other; after `until`, of the monotonic clock, begin no other.

    What goes wrong with one is logged, and keeps no other waiting.
    """
    for number, district_id in enumerate(await every_district(database)):
        if number and time.monotonic() >= until:
            log.info("chore_goes_on", done=number)
            return
        with within_district(district_id):
            try:
                await chore(district_id)
            except Exception as error:  # noqa: BLE001 - whatever it is, other districts wait for their turn
                log.error("chore_failed", district=district_id, **trace(error))  # noqa: TRY400 - as above
