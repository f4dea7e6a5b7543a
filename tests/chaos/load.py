"""People and probes while faults strike: writers, readers, and who asks both API processes how they are."""

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import httpx

from tests.chaos.deployment import Deployment
from tests.chaos.districts import WATCHED_TYPE, ChaosDistrict, content_of

READ_PAUSE, PROBE_PAUSE = 0.25, 0.25
PROBE_LIMIT = 6.0
AT_ONCE = 60
"""Writes that are under way at most."""
ANSWERS = {200, 201, 204, 404, 409, 412, 423, 503}
"""What the API may answer these writers; 409 is for a licence that is there already."""
REFUSED = ANSWERS - {200, 201, 204}
MISMATCH = {"If-Match": '"0"'}


@dataclass
class Write:
    """A write by one person; `status` is the answer's, 0 if there was none. Times are the clock's."""

    district: str
    kind: str
    public_id: UUID | None
    mark: str
    sent: float
    answered: float = 0.0
    status: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the service said that it is written."""
        return 200 <= self.status < 300


@dataclass
class Probe:
    """An answer of `/health/ready`."""

    api: int
    sent: float
    answered: float
    status: str


@dataclass
class Load:
    """All that is asked of the API, and what it answered; `wrong` is what it must never do.

    `patience` multiplies limits. Nobody writes records of districts that are `spared`.
    """

    deployment: Deployment
    random: Random
    patience: float = 1.0
    writes_a_second: float = 20.0
    writes: list[Write] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    reads: Counter[str] = field(default_factory=Counter)
    writing: bool = True
    spared: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._added: dict[str, list[UUID]] = {one.name: [] for one in self.deployment.districts}
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write())
            for api, client in enumerate(self.deployment.clients):
                group.create_task(self._read(client))
                group.create_task(self._probe(api, client))

    async def pause_writing(self) -> None:
        """Begin no more writes, and wait for the answers to those that are under way."""
        self.writing = False
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(1 / self.writes_a_second)
            if self.writing and len(self._under_way) < AT_ONCE:
                others = [one for one in self.deployment.districts if one.name not in self.spared]
                district = self.random.choice(others)
                client = self.random.choice(self.deployment.clients)
                task = asyncio.create_task(self._write_something(client, district))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def _write_something(self, client: httpx.AsyncClient, district: ChaosDistrict) -> None:
        kind = self.random.choices(["change", "add", "delete", "mismatch"], [6, 2, 1, 1])[0]
        mark = f"W{next(self._numbers)}"
        method, path, body = "PATCH", "/api/v1/certifications", {"status": mark}
        one: UUID | None = None
        if kind == "add":
            person = self.random.choice(district.people)["employee_number"]
            while not district.is_written(person):
                person = self.random.choice(district.people)["employee_number"]
            licence = {"license_number": mark, "license_type": district.licence_type(person)}
            method, body = "POST", {"employee_number": person, **licence, "status": mark}
        else:
            one = self.random.choice(district.writable + self._added[district.name][-20:])
            path += f"/{one}"
            method = "DELETE" if kind == "delete" else method
        write = Write(district.name, kind, one, mark, time.time())
        headers = self._as("writer", district) | (MISMATCH if kind == "mismatch" else {})
        answer = await self._ask(
            client, method, path, headers=headers, **({} if method == "DELETE" else {"json": body})
        )
        write.answered = time.time()
        if answer is not None:
            write.status = answer.status_code
            if write.status not in ANSWERS:
                self.wrong.append(f"{method} was answered with {write.status}: {answer.text[:300]}")
            if write.accepted and kind == "add":
                write.public_id = UUID(answer.json()["id"])
                self._added[district.name].append(write.public_id)
            if write.accepted and kind == "mismatch":
                self.wrong.append(f"{mark} was accepted for another version")
        self.writes.append(write)

    async def _read(self, client: httpx.AsyncClient) -> None:
        for district in itertools.cycle(self.deployment.districts):
            await asyncio.sleep(READ_PAUSE)
            answer = await self._ask(
                client,
                "GET",
                "/api/v1/certifications",
                headers=self._as("writer", district),
                params={"license_type": WATCHED_TYPE, "limit": 200},
            )
            if answer is None or answer.status_code == 503:
                self.reads["unanswered"] += 1
            elif answer.status_code != 200:
                self.wrong.append(f"GET was answered with {answer.status_code}: {answer.text[:300]}")
            else:
                self.reads["read"] += 1
                if what := mixture(district, answer.json()):
                    self.wrong.append(what)

    async def _probe(self, api: int, client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {self.deployment.ops_token}"}
        while True:
            await asyncio.sleep(PROBE_PAUSE)
            sent = time.time()
            answer = await self._ask(client, "GET", "/health/ready", headers=headers)
            taken = time.time() - sent
            if taken > PROBE_LIMIT * self.patience:
                self.wrong.append(f"/health/ready took {taken:.1f} s")
            if answer is not None:
                self.probes.append(Probe(api, sent, sent + taken, answer.json()["status"]))

    async def _ask(
        self, client: httpx.AsyncClient, method: str, path: str, **what: Any
    ) -> httpx.Response | None:
        try:
            return await client.request(method, path, **what)
        except httpx.TransportError as error:
            self.wrong.append(f"{method} {path.partition('?')[0]} was not answered: {type(error).__name__}")
            return None

    @staticmethod
    def _as(user: str, district: ChaosDistrict) -> dict[str, str]:
        return {"Authorization": f"Bearer {district.tokens[user]}"}


def mixture(district: ChaosDistrict, page: dict[str, Any]) -> str:
    """Tell what is wrong with all watched certifications as one request read them; empty if nothing is.

    Those that no writer touches must be of one file; of the others those that an import wrote last must be
    of the same one.
    """
    if page["next_cursor"] is not None:
        return f"{district.name}: the watched certifications do not fit on a page"
    items = {UUID(item["id"]): item for item in page["items"]}
    alone = {
        key: content_of(item)
        for key, item in items.items()
        if not district.is_written(item["employee_number"])
    }
    for text in district.files:
        expected = {
            key: content
            for key, content in text.certifications.items()
            if content[2] == WATCHED_TYPE and not district.is_written(content[0])
        }
        if alone == expected:
            imported = {key: content_of(item) for key, item in items.items() if item["source"] == "import"}
            if imported.items() <= text.certifications.items():
                return ""
    return f"{district.name}: a reader saw records of both files at once"
