"""Districts, the two licence files that each of them imports in turn, and what either comes to."""

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from tests.support.imports import NAME, employee, row, write_file
from tests.support.oracle import Item, Oracle, World

WATCHED_TYPE = "Watched"
"""Licences that one page holds all of, so that one request reads what one moment had."""
WATCHED = 50
"""Employees who have such ones: 2.5 each, and what writers add."""
FIRST_DAY = date(2000, 1, 1)
Content = tuple[Any, ...]
"""What a certification says: employee, number, type, status and dates."""
Fields = ("employee_number", "license_number", "license_type", "status", "issue_date", "expiration_date")


@dataclass
class LicenceText:
    """One of a district's two files: its bytes' digest, and what records it makes."""

    path: Path
    digest: str
    certifications: dict[UUID, Content]
    endorsements: dict[UUID, tuple[UUID, str]]


@dataclass
class ChaosDistrict:
    """A district of `size` employees; half of them are left alone by writers.

    `remote` is the directory at the state, `task_id` the task that imports from it.
    """

    name: str
    size: int
    strangers: int
    directory: Path
    remote: Path
    task_id: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    files: list[LicenceText] = field(default_factory=list)
    served: int = 0

    def __post_init__(self) -> None:
        """Write both files."""
        self.people = [
            employee(f"E{number}", str(1000 + number), "Smith", f"Ann{number}") for number in range(self.size)
        ]
        self.files = [self._file(other=other) for other in (False, True)]

    @cached_property
    def writable(self) -> list[UUID]:
        """The certifications that writers change and delete."""
        both = self.files[0].certifications | self.files[1].certifications
        return [public_id for public_id, content in both.items() if self.is_written(content[0])]

    def is_written(self, employee_number: str) -> bool:
        """Tell whether writers touch the employee's records; of each parity half are."""
        return int(employee_number[1:]) % 4 > 1

    def licence_type(self, employee_number: str) -> str:
        """The type of all licences of the employee."""
        return WATCHED_TYPE if int(employee_number[1:]) < WATCHED else "Level II"

    def serve_next(self) -> None:
        """Put the other file in the place of the one at the state, under the date of another day."""
        self.served += 1
        text = self.files[self.served % 2]
        day = FIRST_DAY + timedelta(days=self.served)
        target = self.remote / NAME.format(f"{day:%Y%m%d}")
        part = self.remote / ".part"
        part.write_bytes(text.path.read_bytes())
        part.chmod(0o644)
        os.utime(part, (1_700_000_000 + self.served, 1_700_000_000 + self.served))
        part.rename(target)
        for old in self.remote.glob(NAME.format("*")):
            if old != target:
                old.unlink()

    def text_of(self, digest: str) -> LicenceText:
        """The file of this SHA-256."""
        return next(text for text in self.files if text.digest == digest)

    def _rows(self, *, other: bool) -> list[list[str]]:
        """One licence of each person stays, one changes, one comes and goes."""
        found = []
        for number, person in enumerate(self.people):
            who = (person["state_staff_id"], person["last_name"], person["first_name"])
            kind = self.licence_type(person["employee_number"])
            expires = "06/30/2098" if other else "06/30/2099"
            found.append(row(*who, f"K{number}", LicenseType=kind, EndorsementCode="1-01"))
            found.append(
                row(
                    *who,
                    f"C{number}",
                    LicenseType=kind,
                    EndorsementCode="2-02",
                    LicenseExpirationDate=expires,
                )
            )
            if other == bool(number % 2):
                found.append(row(*who, f"G{number}", LicenseType=kind, EndorsementCode="3-03"))
        return found

    def _file(self, *, other: bool) -> LicenceText:
        rows = self._rows(other=other)
        random = Random(f"{self.name}{other}")
        strangers = [
            row(str(500_000 + number), "Stranger", f"X{random.random()}", f"S{number}")
            for number in range(self.strangers)
        ]
        path = write_file(self.directory / f"{self.name}-{other:d}", rows + strangers)
        oracle = Oracle(World(self.name, datetime.now(UTC).date(), self.people, set(), rows))
        return LicenceText(
            path,
            sha256(path.read_bytes()).hexdigest(),
            {key: content_of(item) for key, item in oracle.certifications.items()},
            {key: (item["certification"], item["code"]) for key, item in oracle.endorsements.items()},
        )


def content_of(item: Item) -> Content:
    """What a certification says, of the oracle, the database or the API; dates as texts."""
    return tuple(value.isoformat() if isinstance(value := item[name], date) else value for name in Fields)
