"""Certifications and endorsements as they should be: edits by hand, and imports of two files over them."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from app.constants import RecordSource
from app.errors import ConflictError, NotFoundError, ValidationFailedError
from app.factory import Factory
from tests.support.by_hand import held
from tests.support.imports import DISTRICT, employee, row, write_file
from tests.support.oracle import hashed

EMPLOYEES = ("1", "2", "3")
LICENCES = ("L1", "L2")
CODES = ("11", "12")
TYPE = "Level II"
FROM_STATE = "from the state"
PEOPLE = [employee(number, number, "Smith", "Ann") for number in EMPLOYEES]
FILES: tuple[dict[tuple[str, str], tuple[str, tuple[str, ...]]], ...] = (
    {("1", "L1"): ("ACT", ("11", "12")), ("1", "L2"): ("ACT", ("11",)), ("2", "L1"): ("ACT", ())},
    {("1", "L1"): ("UDR", ("11",)), ("2", "L1"): ("ACT", ("12",)), ("3", "L2"): ("ACT", ("11",))},
)
"""Status and codes of each employee's licence, in one file and in the other."""


def licence_files(directory: Path) -> list[Path]:
    """The two files, as the state writes them."""
    found = []
    for number, content in enumerate(FILES, start=1):
        rows = [
            row(
                who,
                "Smith",
                "Ann",
                licence,
                LicenseStatus=status,
                EndorsementCode=code,
                Limitation=FROM_STATE,
            )
            for (who, licence), (status, codes) in content.items()
            for code in codes or ("",)
        ]
        found.append(write_file(directory, rows, f"2026010{number}"))
    return found


def licence_id(who: str, licence: str) -> UUID:
    return hashed(DISTRICT, who, licence, TYPE)


def code_id(licence: UUID, code: str, ordinal: int = 1) -> UUID:
    return hashed(licence.hex, code, str(ordinal))


@dataclass
class Licence:
    who: str
    status: str
    source: RecordSource = RecordSource.MANUAL


@dataclass
class Code:
    licence: UUID
    code: str
    limitation: str
    primary: bool = False
    source: RecordSource = RecordSource.MANUAL


@dataclass
class RecordModel:
    """All records by public id. What `expect_…` returns is the refusal, or None; then it has been done."""

    licences: dict[UUID, Licence] = field(default_factory=dict)
    codes: dict[UUID, Code] = field(default_factory=dict)

    def load(self, file: int) -> None:
        """Import a file: it wins, but for the primary choices whose endorsement came back."""
        chosen = {(code.licence, code.code) for code in self.codes.values() if code.primary}
        self.licences, self.codes = {}, {}
        for (who, licence), (status, codes) in FILES[file].items():
            key = licence_id(who, licence)
            self.licences[key] = Licence(who, status, RecordSource.IMPORT)
            for code in codes:
                primary = (key, code) in chosen
                self.codes[code_id(key, code)] = Code(key, code, FROM_STATE, primary, RecordSource.IMPORT)

    def add_licence(self, key: UUID, who: str, status: str) -> type[Exception] | None:
        if key in self.licences:
            return ConflictError
        self.licences[key] = Licence(who, status)
        return None

    def change_licence(self, key: UUID, status: str) -> type[Exception] | None:
        if key not in self.licences:
            return NotFoundError
        if self.licences[key].status != status:
            self.licences[key] = replace(self.licences[key], status=status, source=RecordSource.MANUAL)
        return None

    def delete_licence(self, key: UUID) -> type[Exception] | None:
        if self.licences.pop(key, None) is None:
            return NotFoundError
        self.codes = {each: code for each, code in self.codes.items() if code.licence != key}
        return None

    def add_code(self, licence: UUID, code: str, limitation: str) -> type[Exception] | None:
        if licence not in self.licences:
            return ValidationFailedError
        if self._said(licence, code, limitation):
            return ConflictError
        key = next(key for number in range(1, 9) if (key := code_id(licence, code, number)) not in self.codes)
        self.codes[key] = Code(licence, code, limitation)
        return None

    def change_code(self, key: UUID, limitation: str) -> type[Exception] | None:
        if key not in self.codes:
            return NotFoundError
        code = self.codes[key]
        if code.limitation == limitation:
            return None
        if self._said(code.licence, code.code, limitation):
            return ConflictError
        self.codes[key] = replace(code, limitation=limitation, source=RecordSource.MANUAL)
        return None

    def choose(self, key: UUID, *, primary: bool) -> type[Exception] | None:
        if key not in self.codes:
            return NotFoundError
        who = self.licences[self.codes[key].licence].who
        others = [code for each, code in self.codes.items() if each != key and code.primary]
        if primary and who in {self.licences[code.licence].who for code in others}:
            return ValidationFailedError
        self.codes[key].primary = primary
        return None

    def delete_code(self, key: UUID) -> type[Exception] | None:
        return None if self.codes.pop(key, None) else NotFoundError

    def _said(self, licence: UUID, code: str, limitation: str) -> bool:
        same = (licence, code, limitation)
        return same in {(each.licence, each.code, each.limitation) for each in self.codes.values()}

    async def compare(self, factory: Factory) -> None:
        """Fail unless the service holds these records and no others."""
        found = await held(factory)
        assert {
            item["public_id"]: Licence(item["employee_number"], item["status"], item["source"])
            for item in found["certifications"]
        } == self.licences
        assert {
            item["public_id"]: Code(
                item["certification"], item["code"], item["limitation"], item["is_primary"], item["source"]
            )
            for item in found["endorsements"]
        } == self.codes


def new_licence(who: str, licence: str, status: str) -> dict[str, Any]:
    """What a person sends to add a certification."""
    identity = {"employee_number": who, "license_number": licence, "license_type": TYPE}
    return {**identity, "status": status, "issue_date": None, "expiration_date": None}


def new_code(licence: UUID, code: str, limitation: str) -> dict[str, Any]:
    """What a person sends to add an endorsement."""
    blank = dict.fromkeys(("description", "issue_date", "expiration_date"))
    return {"certification_id": licence, "code": code, "limitation": limitation, "primary": False, **blank}
