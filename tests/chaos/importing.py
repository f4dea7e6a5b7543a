"""Imports of all districts, one after the other, each of the file that the one before was not of."""

import asyncio
import itertools
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import psycopg

from tests.chaos.deployment import POLL, Deployment
from tests.chaos.districts import ChaosDistrict

PAUSE = 4.0
"""Seconds between two imports of a district."""
ANSWERS = {202, 409, 503}


@dataclass
class Importing:
    """Starts the imports, over both API processes in turn; `resting` districts begin no more.

    `wrong` takes the answers that the API must never give.
    """

    deployment: Deployment
    wrong: list[str]
    resting: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._clients = itertools.cycle(self.deployment.clients)

    async def run(self) -> None:
        """Import until cancelled."""
        async with asyncio.TaskGroup() as group:
            for district in self.deployment.districts:
                group.create_task(self._import(district))

    async def _import(self, district: ChaosDistrict) -> None:
        while True:
            await asyncio.sleep(PAUSE)
            if district.name not in self.resting:
                with suppress(psycopg.OperationalError):  # PostgreSQL is away, as it may be
                    await self.until_over(district)
                    if district.name not in self.resting:
                        district.serve_next()
                        await self._ask(district)

    async def until_over(self, *districts: ChaosDistrict) -> None:
        """Wait until no run of the districts is unfinished."""
        for district in districts:
            while await self.deployment.unfinished(district.name):
                await asyncio.sleep(POLL)

    async def start(self, district: ChaosDistrict) -> str:
        """Start a run of a resting district, with the next file, and return its id."""
        await self.until_over(district)
        district.serve_next()
        while True:
            answer = await self._ask(district)
            if answer is not None and answer.status_code == 202:
                return str(answer.json()["id"])
            await asyncio.sleep(POLL)

    async def _ask(self, district: ChaosDistrict) -> httpx.Response | None:
        headers = {"Authorization": f"Bearer {district.tokens['starter']}"}
        path = f"/api/v1/tasks/{district.task_id}/run"
        with suppress(httpx.TransportError):  # no worse than a 503; the load counts such answers
            answer = await next(self._clients).post(path, headers=headers)
            if answer.status_code not in ANSWERS:
                self.wrong.append(f"a run was answered with {answer.status_code}: {answer.text[:300]}")
            return answer
        return None
