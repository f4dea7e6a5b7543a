"""A small Vermont, made from a seed: our district's roster, and the state's licence file about everybody."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from app.constants import EmployeeStatus
from app.demo.licences import HEADER, LONGEST_BLOCK, Licensee, Registrar, Row, pick
from app.demo.people import WITH_MIDDLE_NAME, educator_id, last_name, name_key, stranger, transposed
from app.demo.stories import (
    PER_2000_EMPLOYEES,
    REJECTED,
    ROWS_PER_REJECTED,
    SKIPPED,
    UNLICENSED,
    Story,
    scaled,
)
from app.demo.vermont import FIRST_NAMES, JOBS, LAST_NAMES, NICKNAMES, Job

TIMEZONE = "America/New_York"
FEWEST_EMPLOYEES = 60
"""Among fewer there are not teachers enough for one of each story."""
ROWS_PER_EMPLOYEE = 3
"""A file of fewer rows may not hold all licences of ours."""
WITH_FORMER_NAME, LEFT, WITH_STAFF_ID, WITHOUT_JOB_CLASS, FORMER_NAME_KNOWN = 0.05, 0.04, 0.2, 0.02, 0.5
"""Shares of the people of whom this is true."""

NICKNAMED = (Story.PREFERRED_FIRST_NAME, Story.LEGAL_NAME)


@dataclass(frozen=True)
class World:
    """What is made once: the roster in the shape of the API's bodies, and whom the state's file must hold.

    `cast` is everybody in the file who matters to the roster, in the file's order; `names` are the names
    that strangers must not have; `stories` gives the employee numbers of each story.
    """

    seed: int
    rows: int
    today: date
    job_classes: list[dict[str, Any]]
    employees: list[dict[str, Any]]
    cast: list[Licensee]
    names: frozenset[str]
    stories: dict[Story, list[str]]

    @property
    def file_name(self) -> str:
        """The name by which the file is recognised (I1)."""
        return f"Curr_Lic_Eds_End_Limits_{self.today:%Y%m%d}.csv"

    def figures(self) -> dict[str, int]:
        """Return what the first import of the file must report, by the world's own count."""
        required = {job["code"] for job in self.job_classes if job["certification_required"]}
        active = [person for person in self.employees if person["status"] == EmployeeStatus.ACTIVE]
        teachers = sum(person["job_class"] in required for person in active)
        unlicensed = sum(len(self.stories[story]) for story in UNLICENSED)
        return {
            "active": len(active),
            "matched": teachers - unlicensed,
            "skipped": sum(len(self.stories[story]) for story in SKIPPED),
            "missing_certification": unlicensed,
            "expired_certification": len(self.stories[Story.EXPIRED]),
            "without_issue_date": len(self.stories[Story.NO_ISSUE_DATE]),
            "without_expiration_date": len(self.stories[Story.NO_EXPIRATION_DATE]),
            "disagreeing": len(self.stories[Story.DISAGREEING_ROWS]),
            "rows": self.rows,
            "rejected": sum(person.story in REJECTED for person in self.cast),
        }


def make_world(
    seed: int = 2026,
    employees: int = 2_000,
    rows: int = 60_000,
    today: date | None = None,
    jobs: Sequence[Job] = JOBS,
) -> World:
    """Make the world of `seed`: the same arguments give the same world on every machine.

    `today` (default: the date in Vermont) decides which licences have expired; `jobs` are those that
    employees have. Raises ValueError when there are too few employees for the stories, or too few rows for
    the employees.
    """
    if employees < FEWEST_EMPLOYEES or rows < ROWS_PER_EMPLOYEE * employees:
        raise ValueError(
            f"a world needs {FEWEST_EMPLOYEES} employees or more, and {ROWS_PER_EMPLOYEE} rows for each; "
            f"got {employees} employees and {rows} rows"
        )
    return _Maker(seed, rows, today or datetime.now(ZoneInfo(TIMEZONE)).date()).make(employees, jobs)


def write_licence_file(world: World, path: Path) -> Path:
    """Stream the licence file, UTF-8 with CRLF, and return its path.

    Into a directory it goes under the name by which it is recognised.
    """
    target = path / world.file_name if path.is_dir() else path
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(licence_rows(world))
    return target


def licence_rows(world: World) -> Iterator[Row]:
    """Yield exactly `world.rows` rows: the cast at even distances, strangers of other districts between."""
    rng = Random(f"{world.seed}:licences")
    registrar = Registrar(rng, world.today)
    serials = count(len(world.cast) + len(world.employees))
    pace = (world.rows - 2 * LONGEST_BLOCK) / len(world.cast)
    written = 0
    for position, person in enumerate(world.cast):
        while written < position * pace:
            block = registrar.rows(stranger(rng, world.names, next(serials)))
            yield from block
            written += len(block)
        block = registrar.rows(person)
        yield from block
        written += len(block)
    while written < world.rows:
        block = registrar.rows(stranger(rng, world.names, next(serials)))[: world.rows - written]
        yield from block
        written += len(block)


class _Maker:
    """Draws the people one by one and remembers which names are taken."""

    def __init__(self, seed: int, rows: int, today: date) -> None:
        self.seed, self.rows, self.today = seed, rows, today
        self.rng = Random(f"{seed}:people")
        self.serials = count()
        self.names: set[str] = set()
        self.employees: list[dict[str, Any]] = []
        self.cast: list[Licensee] = []
        self.stories: dict[Story, list[str]] = {story: [] for story in PER_2000_EMPLOYEES}

    def make(self, employees: int, jobs: Sequence[Job]) -> World:
        """Make everybody, then shuffle the cast into the order of the file."""
        weighed = tuple(job for job in jobs for _ in range(job.weight))
        drawn = [pick(self.rng, weighed) for _ in range(employees)]
        story_of = self._deal([place for place, job in enumerate(drawn) if job.areas], employees)
        for place, job in enumerate(drawn):
            if job.areas:
                self._teacher(job, story_of.get(place))
            else:
                self._other(job)
        for story in REJECTED * max(1, self.rows // ROWS_PER_REJECTED):
            self.cast.append(stranger(self.rng, self.names, next(self.serials))._replace(story=story))
        self.rng.shuffle(self.cast)
        return World(
            seed=self.seed,
            rows=self.rows,
            today=self.today,
            job_classes=[
                {"code": job.code, "title": job.title, "certification_required": job.certification_required}
                for job in JOBS
            ],
            employees=self.employees,
            cast=self.cast,
            names=frozenset(self.names),
            stories=self.stories,
        )

    def _deal(self, teachers: list[int], employees: int) -> dict[int, Story]:
        """Give each story its number of teachers, nobody more than one."""
        deck = [story for story in PER_2000_EMPLOYEES for _ in range(scaled(story, employees))]
        self.rng.shuffle(teachers)
        return dict(zip(teachers[: len(deck)], deck, strict=True))

    def _last_name(self, *first_names: str) -> str:
        """Reserve a last name under which nobody of ours has any of `first_names`."""
        last = last_name(self.rng, first_names[0], hyphenated=False)
        while not self.names.isdisjoint(name_key(last, first) for first in first_names):
            last = last_name(self.rng, first_names[0], hyphenated=True)
        self.names.update(name_key(last, first) for first in first_names)
        return last

    def _employee(self, job: Job, first: str, last: str, **fields: Any) -> dict[str, Any]:
        """Add an employee to the roster; `fields` are those that are not null."""
        employee = {
            "employee_number": str(100_001 + len(self.employees)),
            "state_staff_id": None,
            "last_name": last,
            "first_name": first,
            "middle_name": pick(self.rng, FIRST_NAMES) if self.rng.random() < WITH_MIDDLE_NAME else None,
            "legal_last_name": None,
            "legal_first_name": None,
            "former_last_name": None,
            "status": EmployeeStatus.ACTIVE.value,
            "job_class": job.code,
        } | fields
        self.employees.append(employee)
        return employee

    def _other(self, job: Job) -> None:
        """Add somebody who needs no licence and has none."""
        first = pick(self.rng, FIRST_NAMES)
        employee = self._employee(job, first, self._last_name(first))
        if self.rng.random() < WITH_STAFF_ID:
            employee["state_staff_id"] = educator_id(next(self.serials))
        if self.rng.random() < LEFT:
            employee["status"] = EmployeeStatus.TERMINATED.value
        if self.rng.random() < WITHOUT_JOB_CLASS:
            employee["job_class"] = None

    def _teacher(self, job: Job, story: Story | None) -> None:
        """Add a teacher to the roster and to the file; the story decides how the two differ."""
        rng = self.rng
        number = educator_id(next(self.serials))
        first = pick(rng, tuple(NICKNAMES) if story in NICKNAMED else FIRST_NAMES)
        preferred = NICKNAMES[first] if story in NICKNAMED else first
        last = self._last_name(first, preferred)
        employee = self._employee(job, preferred, last, state_staff_id=number)
        person = Licensee(number, last, first, employee["middle_name"] or "", job.areas, story, ours=True)
        if story is None:
            if rng.random() < WITH_FORMER_NAME:
                employee["former_last_name"] = pick(rng, LAST_NAMES)
        else:
            self.stories[story].append(employee["employee_number"])
            employee.update(_roster_says(story, number, first))
            person = self._state_says(story, person, employee)
        if story is not Story.NO_LICENCE:
            self.cast.append(person)

    def _state_says(self, story: Story, person: Licensee, employee: dict[str, Any]) -> Licensee:
        """Return the person as the state knows them in `story`."""
        match story:
            case Story.ZEROS_IN_FILE:
                return person._replace(educator_id=person.educator_id.zfill(10))
            case Story.FORMER_LAST_NAME:
                former = self._last_name(person.first_name)
                if self.rng.random() < FORMER_NAME_KNOWN:
                    employee["former_last_name"] = former
                return person._replace(last_name=former)
            case Story.LICENCE_UNDER_FORMER_NAME:
                employee["former_last_name"] = self._last_name(person.first_name)
                return person._replace(former_last_name=employee["former_last_name"])
            case Story.NAMESAKE:
                self.cast.append(person._replace(educator_id=educator_id(next(self.serials)), ours=False))
        return person


def _roster_says(story: Story, number: str, legal_first_name: str) -> dict[str, Any]:
    """Return the fields of an employee that `story` changes."""
    match story:
        case Story.LEGAL_NAME:
            return {"legal_first_name": legal_first_name}
        case Story.TRANSPOSED_ID:
            return {"state_staff_id": transposed(number)}
        case Story.NO_STAFF_ID:
            return {"state_staff_id": None}
        case Story.ZEROS_IN_ROSTER:
            return {"state_staff_id": number.zfill(10)}
        case Story.TERMINATED:
            return {"status": EmployeeStatus.TERMINATED.value}
    return {}
