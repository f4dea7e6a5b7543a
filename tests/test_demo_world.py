"""The demo's world, read back from its file with the csv module and the rules of I3, I4 and I12."""

import csv
import hashlib
import subprocess
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from app.demo.people import educator_id, transposed
from app.demo.stories import PER_2000_EMPLOYEES, REJECTED, SKIPPED, Story
from app.demo.world import World, licence_rows, make_world, write_licence_file

TODAY = date(2026, 11, 22)
Row = dict[str, str]
Name = tuple[str, str]


class Reading:
    """An import of the world by plain loops."""

    def __init__(self, world: World, path: Path) -> None:
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = list(csv.reader(file))
        self.world, self.lines = world, lines
        self.rows: list[Row] = []
        self.rejected: dict[str, int] = defaultdict(int)
        for line in lines:
            reason = rejection(header, line)
            if reason:
                self.rejected[reason] += 1
            else:
                self.rows.append(dict(zip(header, line, strict=True)))
        self.importable = [row for row in self.rows if row["LicenseStatus"] in ("ACT", "UDR")]
        by_id, by_name = defaultdict(list), defaultdict(list)
        for row in self.importable:
            by_id[row["EducatorID"].lstrip("0")].append(row)
            by_name[state_name(row)].append(row)
        self.matched: dict[str, list[Row]] = {}
        self.skipped: set[str] = set()
        self.other_name: set[str] = set()
        for employee in self.active():
            number, staff_id = employee["employee_number"], (employee["state_staff_id"] or "").lstrip("0")
            same_id, same_name = by_id.get(staff_id, []), by_name.get(roster_name(employee), [])
            own = [row for row in same_id if state_name(row) == roster_name(employee)]
            if own:
                self.matched[number] = own
                if len(own) < len(same_id):
                    self.other_name.add(number)
            elif same_id or same_name:
                self.skipped.add(number)

    def active(self) -> Iterator[dict[str, Any]]:
        return (employee for employee in self.world.employees if employee["status"] == "active")

    def licences(self) -> Iterator[tuple[str, list[Row]]]:
        for number, rows in self.matched.items():
            grouped = defaultdict(list)
            for row in rows:
                grouped[row["LicenseNumber"], row["LicenseType"]].append(row)
            for licence in grouped.values():
                yield number, licence


def rejection(header: list[str], line: list[str]) -> str:
    if len(line) != len(header):
        return "fields"
    row = dict(zip(header, line, strict=True))
    if not row["EducatorID"].isdecimal():
        return "id"
    for column in ("LicenseNumber", "LicenseStatus"):
        if not row[column]:
            return column
    try:
        for column in header:
            if column.endswith("Date") and row[column]:
                as_date(row[column])
    except ValueError:
        return "date"
    return ""


def as_date(text: str) -> date:
    month, day, year = text.split("/")
    return date(int(year), int(month), int(day))


def folded(last: str, first: str) -> Name:
    last, first = (" ".join(unicodedata.normalize("NFKC", name).casefold().split()) for name in (last, first))
    return last, first


def state_name(row: Row) -> Name:
    return folded(row["LastName"], row["FirstName"])


def roster_name(employee: dict[str, Any]) -> Name:
    return folded(
        employee["legal_last_name"] or employee["last_name"],
        employee["legal_first_name"] or employee["first_name"],
    )


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(today=TODAY)


@pytest.fixture(scope="module")
def reading(world: World, tmp_path_factory: pytest.TempPathFactory) -> Reading:
    return Reading(world, write_licence_file(world, tmp_path_factory.mktemp("world")))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_world_in_another_process(world: World, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from app.demo.world import *\n"
        "world = make_world(today=date(2026, 11, 22))\n"
        "write_licence_file(world, pathlib.Path(sys.argv[1])); print(world.employees)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "theirs.csv")]
    theirs = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    assert theirs.strip() == str(world.employees)
    assert digest(tmp_path / "theirs.csv") == digest(write_licence_file(world, tmp_path / "ours.csv"))


def test_another_seed_gives_another_world(world: World) -> None:
    another = make_world(seed=7, today=TODAY)
    assert another.employees != world.employees
    assert next(licence_rows(another)) != next(licence_rows(world))


def test_the_file_has_its_name_and_size(world: World, reading: Reading, tmp_path: Path) -> None:
    assert write_licence_file(world, tmp_path).name == "Curr_Lic_Eds_End_Limits_20261122.csv"
    assert len(world.employees) == 2_000
    assert len(reading.lines) == 60_000


@pytest.mark.parametrize(
    ("seed", "employees", "rows"), [(1, 60, 180), (2, 60, 180), (3, 500, 1_500), (2026, 2_000, 60_000)]
)
def test_the_world_knows_its_figures(seed: int, employees: int, rows: int, tmp_path: Path) -> None:
    world = make_world(seed, employees, rows, today=TODAY)
    reading = Reading(world, write_licence_file(world, tmp_path))
    required = {job["code"] for job in world.job_classes if job["certification_required"]}
    licences = list(reading.licences())
    assert world.figures() == {
        "active": sum(1 for _ in reading.active()),
        "matched": len(reading.matched),
        "skipped": len(reading.skipped),
        "missing_certification": sum(
            employee["job_class"] in required and employee["employee_number"] not in reading.matched
            for employee in reading.active()
        ),
        "expired_certification": len({number for number, licence in licences if has_expired(licence)}),
        "without_issue_date": sum(not licence[0]["LicenseIssueDate"] for _, licence in licences),
        "without_expiration_date": sum(not licence[0]["LicenseExpirationDate"] for _, licence in licences),
        "disagreeing": sum(disagrees(licence) for _, licence in licences),
        "rows": len(reading.lines),
        "rejected": sum(reading.rejected.values()),
    }


def disagrees(licence: list[Row]) -> bool:
    columns = ("LicenseStatus", "LicenseIssueDate", "LicenseExpirationDate")
    return len({tuple(row[column] for column in columns) for row in licence}) > 1


def has_expired(licence: list[Row]) -> bool:
    dates = [as_date(row["LicenseExpirationDate"]) for row in licence if row["LicenseExpirationDate"]]
    return bool(dates) and max(dates) < TODAY


def test_every_skipped_employee_is_in_a_story(world: World, reading: Reading) -> None:
    told = {number for story in SKIPPED for number in world.stories[story]}
    assert reading.skipped == told
    assert len(told) == 24 + 16 + 12 + 14


def test_stories_have_their_numbers(world: World) -> None:
    assert {story: len(numbers) for story, numbers in world.stories.items()} == PER_2000_EMPLOYEES
    everybody = [number for numbers in world.stories.values() for number in numbers]
    assert len(everybody) == len(set(everybody))


@pytest.mark.parametrize(
    "story", [Story.LEGAL_NAME, Story.ZEROS_IN_ROSTER, Story.ZEROS_IN_FILE, Story.WRITTEN_DIFFERENTLY]
)
def test_these_differ_and_match_all_the_same(world: World, reading: Reading, story: Story) -> None:
    roster = {employee["employee_number"]: employee for employee in world.employees}
    for number in world.stories[story]:
        employee, row = roster[number], reading.matched[number][0]
        assert (employee["state_staff_id"], employee["last_name"], employee["first_name"]) != (
            row["EducatorID"],
            row["LastName"],
            row["FirstName"],
        )


def test_a_former_name_is_in_the_file_beside_the_new_one(world: World, reading: Reading) -> None:
    assert reading.other_name == set(world.stories[Story.LICENCE_UNDER_FORMER_NAME])


def test_those_who_left_and_namesakes_are_in_the_file(world: World, reading: Reading) -> None:
    roster = {employee["employee_number"]: employee for employee in world.employees}
    in_file = defaultdict(set)
    for row in reading.rows:
        in_file[state_name(row)].add(row["EducatorID"].lstrip("0"))
    for number in world.stories[Story.TERMINATED]:
        assert roster[number]["status"] == "terminated"
        assert roster[number]["state_staff_id"] in in_file[roster_name(roster[number])]
    for number in world.stories[Story.NAMESAKE]:
        assert number in reading.matched
        assert len(in_file[roster_name(roster[number])]) == 2


def test_duplicates_and_missing_endorsements_are_there(world: World, reading: Reading) -> None:
    for number in world.stories[Story.DUPLICATE_ROWS]:
        rows = [tuple(row.values()) for row in reading.matched[number]]
        assert len(rows) - len(set(rows)) == 2
    for number in world.stories[Story.NO_ENDORSEMENT]:
        assert not reading.matched[number][0]["EndorsementCode"]


def test_rejected_rows_are_few_and_of_every_kind(reading: Reading) -> None:
    assert reading.rejected == {
        "fields": 48,
        "id": 48,
        "date": 24,
        "LicenseNumber": 24,
        "LicenseStatus": 24,
    }
    assert 24 * len(REJECTED) < 0.05 * len(reading.lines)


def test_it_looks_like_vermont(world: World, reading: Reading) -> None:
    names = {row["LastName"] for row in reading.rows}
    assert {"O'Brien", "De La Cruz", "Côté", "Smith"} <= names
    assert any("-" in name for name in names)
    assert any(name.endswith(" Jr.") for name in names)
    assert all(len(row["LastName"]) <= 36 and len(row["FirstName"]) <= 20 for row in reading.rows)
    assert {row["LicenseStatus"] for row in reading.rows} == {"ACT", "UDR", "EXP", "SUS", "REV", "LAP", "PEN"}
    assert any("\n" in row["Limitation"] for row in reading.rows)
    june = sum(row["LicenseExpirationDate"].startswith("06/30") for row in reading.rows)
    assert june > 0.9 * len(reading.rows)
    assert sum(job["certification_required"] for job in world.job_classes) == 13


def test_a_transposed_id_is_nobodys() -> None:
    people = {educator_id(serial) for serial in range(200_000)}
    assert len(people) == 200_000
    assert not people & {transposed(number) for number in people}


def test_too_small_a_world_is_refused() -> None:
    with pytest.raises(ValueError, match="60 employees or more, and 3 rows"):
        make_world(employees=59)
    with pytest.raises(ValueError, match="got 100 employees and 299 rows"):
        make_world(employees=100, rows=299)


def test_a_large_file_needs_little_memory(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from resource import *; from app.demo.world import *\n"
        "world = make_world(rows=500_000)\n"
        "before = getrusage(RUSAGE_SELF).ru_maxrss; write_licence_file(world, pathlib.Path(sys.argv[1]))\n"
        "print(getrusage(RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "large.csv")]
    growth = int(subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout)
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2)
    assert (tmp_path / "large.csv").stat().st_size > 50_000_000
    assert growth * unit < 5_000_000
