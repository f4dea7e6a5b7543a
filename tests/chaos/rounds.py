"""One blow after the other: catch a run, strike, heal, wait until all is well, and check what is left."""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from random import Random

from tests.chaos.audit import losses, untruths, wrong_ends
from tests.chaos.deployment import Deployment
from tests.chaos.districts import ChaosDistrict
from tests.chaos.faults import Fault, Strike
from tests.chaos.importing import Importing
from tests.chaos.load import Load, Write
from tests.chaos.phases import caught
from tests.chaos.table import Outcome

WRITERS_WAIT, RUNS_WAIT, READY_WAIT = 30.0, 90.0, 30.0
"""Seconds at most until writers are let in, until every run is over, and until the health says so."""
MORE_WRITES = 3.0
"""Seconds of writes after every run is over, which have to be there as well."""
PDF_WAIT = 150.0
FIRST_IMPORTS = 120.0
INSIDE = {200, 201, 204, 404, 412}
"""Answers of who was let in, by guard and lock; a 404 or 412 is told only inside."""


@dataclass
class Times:
    """Of a fault, by the clock: when it was prepared, was being dealt, had been dealt, and began to heal."""

    began: float
    striking: float = 0.0
    struck: float = 0.0
    healing: float = 0.0


@dataclass
class Chaos:
    """A deployment under load, and its blows."""

    deployment: Deployment
    load: Load
    importing: Importing
    random: Random

    async def blow(self, fault: Fault, phase: str) -> Outcome:
        """Strike once; return what came of it."""
        outcome = Outcome(fault.name, phase)
        district = self.random.choice(self.deployment.districts)
        self.importing.resting = {district.name}
        try:
            times = await self._strike(fault, phase, district, asyncio.Event())
        except TimeoutError as error:
            outcome.wrong.append(f"a wait for the fault or its effect took too long: {trail(error)}")
            times = Times(time.time())
        await self._settle(
            outcome, fault, times.striking if fault.since_strike and times.striking else time.time(), times
        )
        return outcome

    async def burst(self, blows: Sequence[tuple[Fault, str]]) -> Outcome:
        """Strike several times in different districts, each as soon as the one before has been dealt."""
        outcome = Outcome(" ".join(fault.name for fault, _ in blows), " ".join(phase for _, phase in blows))
        self.importing.resting = {one.name for one in self.deployment.districts}
        times = Times(time.time())
        async with asyncio.TaskGroup() as group:
            districts = self.random.sample(self.deployment.districts, len(blows))
            for (fault, phase), district in zip(blows, districts, strict=True):
                dealt = asyncio.Event()
                group.create_task(self._strike(fault, phase, district, dealt))
                await dealt.wait()
            since = time.time()  # until then a district that was to be struck was spared by writers
        any_of = replace(
            blows[0][0],
            says=frozenset[str]().union(*(fault.says for fault, _ in blows)),
            codes=frozenset[str]().union(*(fault.codes for fault, _ in blows)),
        )
        times.healing = time.time()
        await self._settle(outcome, any_of, since, times)
        return outcome

    async def _strike(self, fault: Fault, phase: str, district: ChaosDistrict, dealt: asyncio.Event) -> Times:
        """Catch a run, strike and heal; `dealt` is set in between."""
        times = Times(time.time())
        start = partial(self.importing.start, district)
        # A replace that finds another edit under its guard lets go, and plans again.
        self.load.spared.add(district.name)
        try:
            async with AsyncExitStack() as wound:
                if fault.before is not None:
                    await wound.enter_async_context(fault.before(self.deployment, district.name))
                async with caught(self.deployment, district, phase, start) as found:
                    strike = Strike(self.deployment, self.load, found)
                    times.striking = time.time()
                    await wound.enter_async_context(fault.blow(strike))
                    strike.at = times.struck = time.time()
                self.load.spared.discard(district.name)
                dealt.set()
                await fault.lasts(strike)
                times.healing = time.time()
        finally:
            self.load.spared.discard(district.name)
        return times

    async def _settle(self, outcome: Outcome, fault: Fault, since: float, times: Times) -> None:
        """Wait until all is well, which is counted from `since`, and check what is left."""
        self.importing.resting = {one.name for one in self.deployment.districts}
        outcome.runs = await self._until_over(since, outcome)
        outcome.ready = await self._until_ready(outcome)
        if "report" in outcome.phase:
            await self._until_reported(outcome)
        await asyncio.sleep(MORE_WRITES)
        await self.load.pause_writing()
        outcome.writers = max(
            shut(self.load.writes, district, since, time.time()) for district in self.deployment.districts
        )
        if outcome.writers > WRITERS_WAIT * self.load.patience:
            outcome.wrong.append(f"writers were kept out for {outcome.writers:.1f} s")
        outcome.lost += await losses(self.deployment, self.load)
        outcome.wrong += untruths(fault, self.load.probes, times.struck, times.healing)
        outcome.wrong += await wrong_ends(self.deployment, fault, times.began)
        outcome.wrong += self.load.wrong
        self.load.wrong.clear()
        self.load.probes.clear()
        self.load.writing = True
        self.importing.resting = set()

    async def clean(self) -> Outcome:
        """Import each district once more, with nobody about, and check what is left."""
        outcome = Outcome("none, at the end", "-")
        self.importing.resting = {one.name for one in self.deployment.districts}
        await self.importing.until_over(*self.deployment.districts)
        await self.load.pause_writing()
        for district in self.deployment.districts:
            await self.importing.start(district)
        outcome.runs = await self._until_over(time.time(), outcome)
        await self._until_reported(outcome)
        pending = await self.deployment.query("SELECT id FROM record_edit WHERE run_id IS NULL")
        if pending:
            outcome.lost.append(f"{len(pending)} edits are still to be overwritten after an import")
        outcome.lost += await losses(self.deployment, self.load)
        outcome.wrong += self.load.wrong
        return outcome

    async def _until_over(self, since: float, outcome: Outcome) -> float:
        """Wait until no run is unfinished; return the seconds since `since`."""

        async def over() -> bool:
            return not await self.deployment.unfinished()

        return await self._until(over, since, RUNS_WAIT, outcome, "runs were not over")

    async def _until_ready(self, outcome: Outcome) -> float:
        async def ready() -> bool:
            return all([await self.deployment.ready(one) == "ready" for one in self.deployment.clients])

        return await self._until(ready, time.time(), READY_WAIT, outcome, "the health was not ready")

    async def _until_reported(self, outcome: Outcome) -> None:
        async def reported() -> bool:
            query = "SELECT id FROM run WHERE report_pdf IS NULL AND status IN ('succeeded', 'failed')"
            return not await self.deployment.query(query)

        await self._until(reported, time.time(), PDF_WAIT, outcome, "not every run had its PDF")

    async def _until(
        self,
        condition: Callable[[], Awaitable[bool]],
        since: float,
        limit: float,
        outcome: Outcome,
        what: str,
    ) -> float:
        while not await condition():
            if time.time() - since > limit * self.load.patience:
                outcome.wrong.append(f"{what} after {limit:.0f} s")
                break
            await asyncio.sleep(0.1)
        return time.time() - since


def shut(writes: list[Write], district: ChaosDistrict, since: float, until: float) -> float:
    """Return the longest time, in seconds, in which nobody was let in to write records of the district."""
    inside = sorted(
        write.answered
        for write in writes
        if write.district == district.name and write.status in INSIDE and since < write.answered
    )
    return max(after - before for before, after in pairwise([since, *inside, until]))


def trail(error: BaseException) -> str:
    """Return where in this package an error came from."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(frame.name for frame in reversed(frames) if "chaos" in frame.filename)


@asynccontextmanager
async def chaos(deployment: Deployment, seed: int, patience: float = 1.0) -> AsyncIterator[Chaos]:
    """Yield a deployment whose districts have imported once, with everybody at work.

    `patience` multiplies the limits, for a machine that has other work.
    """
    random = Random(seed)
    load = Load(deployment, random, patience)
    importing = Importing(deployment, load.wrong)
    for district in deployment.districts:
        await importing.start(district)
    async with asyncio.timeout(FIRST_IMPORTS):
        await importing.until_over(*deployment.districts)
    work = [asyncio.create_task(load.run()), asyncio.create_task(importing.run())]
    try:
        yield Chaos(deployment, load, importing, random)
    finally:
        for task in work:
            task.cancel()
        await asyncio.wait(work)
