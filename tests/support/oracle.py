"""What an import must come to, worked out by brute force from the product's rules I3, I4, I5 and I12.

Plain Python over lists: no SQL, nothing of the service's own code.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from tests.support.imports import COLUMNS

Item = dict[str, Any]
IMPORTED = ("ACT", "UDR")
DATE_COLUMNS = [column for column in COLUMNS if column.endswith("Date")]
CERTIFICATION = ("status", "issue_date", "expiration_date")
ENDORSEMENT = ("description", "issue_date", "expiration_date", "limitation")


@dataclass
class World:
    """Everything that an import reads. `rows` are the cells of the data rows; records are those held.

    `deleted` are the public ids of records that people deleted since the last import.
    """

    district: str
    today: date
    employees: list[Item]
    required: set[str]
    rows: list[list[str]]
    certifications: list[Item] = field(default_factory=list)
    endorsements: list[Item] = field(default_factory=list)
    deleted: set[UUID] = field(default_factory=set)


@dataclass
class Line:
    """An importable row, read."""

    line: int
    educator_id: str
    person: tuple[str, str, str]  # educator id, last and first name as compared
    cells: Item


def same_text(text: str) -> str:
    """The spelling that is compared: compatibility form, no case, single spaces."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return re.sub(r"\s+", " ", folded).strip()


def same_id(text: str | None) -> str:
    return re.sub("^0+", "", (text or "").strip())


def tidy(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def read_date(text: str) -> date | None:
    """A date in one of the two forms that the generated files use; ValueError for another."""
    text = text.strip()
    if not text:
        return None
    return datetime.strptime(text, "%m/%d/%Y" if "/" in text else "%Y-%m-%d").date()  # noqa: DTZ007 - no time


def faults(cells: Sequence[str]) -> set[str]:
    """The columns for which a row may be rejected; "" is the whole row."""
    if len(cells) != len(COLUMNS):
        return {""}
    values = dict(zip(COLUMNS, cells, strict=True))
    found = {name for name in ("LicenseNumber", "LicenseStatus") if not values[name].strip()}
    if not re.fullmatch(r"\s*0*[0-9]{1,10}\s*", values["EducatorID"]) or not same_id(values["EducatorID"]):
        found.add("EducatorID")
    for name in DATE_COLUMNS:
        try:
            read_date(values[name])
        except ValueError:
            found.add(name)
    return found


def hashed(*parts: str) -> UUID:
    return UUID(hashlib.md5("\x1f".join(parts).encode()).hexdigest())


def compared_names(person: Item) -> tuple[str, str]:
    """Last and first name of an employee that count: the legal ones where there are any."""
    return (
        person["legal_last_name"] or person["last_name"],
        person["legal_first_name"] or person["first_name"],
    )


def who(person: Item) -> Item:
    last, first = compared_names(person)
    return {"employee_number": person["employee_number"], "last_name": last, "first_name": first}


def unlikeness(chosen: Item, public_id: UUID, item: Item) -> int:
    """How far an endorsement is from one of the same code on the same licence."""
    if item["limitation"] == chosen["limitation"]:
        dates = ("issue_date", "expiration_date")
        return 0 if all(item[name] == chosen[name] for name in dates) else 1
    return 2 if public_id == chosen["public_id"] else 3


class Oracle:
    """The outcome of importing into a `World`.

    `certifications` and `endorsements` are what active employees hold afterwards, by public id; `summary`
    and `lists` are the run's; `faulty` has the columns at fault of each rejected line.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.active = sorted(
            (person for person in world.employees if person["status"] == "active"),
            key=lambda person: str(person["employee_number"]),
        )
        self.faulty: dict[int, set[str]] = {}
        self.other_status: Counter[str] = Counter()
        self.lines: list[Line] = []
        self.certifications: dict[UUID, Item] = {}
        self.endorsements: dict[UUID, Item] = {}
        self.disagreements: list[Item] = []
        self.ours: dict[str, list[Line]] = {}
        self._read()
        self._match()
        self._keep_primaries()

    def _read(self) -> None:
        for number, cells in enumerate(self.world.rows, start=2):
            if wrong := faults(cells):
                self.faulty[number] = wrong
                continue
            values: Item = dict(zip(COLUMNS, cells, strict=True))
            status = values["LicenseStatus"].strip().upper()
            if status not in IMPORTED:
                self.other_status[status] += 1
                continue
            values["LicenseStatus"] = status
            values |= {name: read_date(values[name]) for name in DATE_COLUMNS}
            person = (
                same_id(values["EducatorID"]),
                same_text(values["LastName"]),
                same_text(values["FirstName"]),
            )
            self.lines.append(Line(number, values["EducatorID"].strip(), person, values))

    def _match(self) -> None:
        for person in self.active:
            mine = [line for line in self.lines if self._agrees(person, line)]
            if not mine:
                continue
            self.ours[person["employee_number"]] = mine
            licences: dict[tuple[str, str], list[Line]] = {}
            for line in mine:
                key = tidy(line.cells["LicenseNumber"]), tidy(line.cells["LicenseType"])
                licences.setdefault(key, []).append(line)
            for (number, kind), lines in licences.items():
                self._licence(person, number, kind, lines)

    @staticmethod
    def _agrees(person: Item, line: Line) -> bool:
        last, first = (same_text(name) for name in compared_names(person))
        return bool(last and first) and (same_id(person["state_staff_id"]), last, first) == line.person

    def _licence(self, person: Item, number: str, kind: str, lines: list[Line]) -> None:
        variants = {
            (
                line.cells["LicenseExpirationDate"] or date.min,
                line.cells["LicenseIssueDate"] or date.min,
                line.cells["LicenseStatus"],
            )
            for line in lines
        }
        by_status = sorted(variants, key=lambda variant: variant[2])  # A of ACT comes before U of UDR
        expires, issued, status = max(by_status, key=lambda variant: variant[:2])  # of equals the first
        kept = {
            "status": status,
            "issue_date": None if issued == date.min else issued,
            "expiration_date": None if expires == date.min else expires,
        }
        identity = {
            "employee_number": person["employee_number"],
            "license_number": number,
            "license_type": kind,
        }
        public_id = hashed(self.world.district, person["employee_number"], number, kind)
        self.certifications[public_id] = {**identity, **kept}
        if len(variants) > 1:
            self.disagreements.append({**identity, "variants": len(variants), "kept": plain(kept)})
        self._endorse(person, public_id, lines)

    def _endorse(self, person: Item, certification: UUID, lines: list[Line]) -> None:
        for code in {tidy(line.cells["EndorsementCode"]) for line in lines} - {""}:
            described: dict[tuple[str, date, date], str] = {}
            for line in lines:
                if tidy(line.cells["EndorsementCode"]) != code:
                    continue
                facts = (
                    line.cells["Limitation"].strip(),
                    line.cells["EndorsementIssueDate"] or date.min,
                    line.cells["EndorsementExpirationDate"] or date.min,
                )
                described[facts] = max(described.get(facts, ""), line.cells["EndorsementDescription"].strip())
            for ordinal, facts in enumerate(sorted(described), start=1):
                limitation, issued, expires = facts
                self.endorsements[hashed(certification.hex, code, str(ordinal))] = {
                    "employee_number": person["employee_number"],
                    "certification": certification,
                    "code": code,
                    "ordinal": ordinal,
                    "description": described[facts] or None,
                    "issue_date": None if issued == date.min else issued,
                    "expiration_date": None if expires == date.min else expires,
                    "limitation": limitation or None,
                    "is_primary": False,
                }

    def _keep_primaries(self) -> None:
        """The same code on the same licence; of several the one that says the same, or has the same id."""
        for chosen in self.world.endorsements:
            again = [
                (public_id, item)
                for public_id, item in self.endorsements.items()
                if (item["certification"], item["code"]) == (chosen["certification"], chosen["code"])
            ]
            if not chosen["is_primary"] or not again:
                continue
            in_order = sorted(again, key=lambda pair: pair[1]["ordinal"])
            _, heir = min(in_order, key=lambda pair: unlikeness(chosen, *pair))
            heir["is_primary"] = True


def plain(item: Item) -> Item:
    """Dates as JSON has them."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in item.items()}
