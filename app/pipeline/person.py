"""Who is looked for when a person's data are exported or erased, and what of a text or a row is theirs.

Two grades: what bears the person's number or Educator ID is theirs; what bears only their name may be of
somebody else of that name. An id that they had once, or share with another employee, may be a slip of the
ERP: it counts together with their name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Self

from app.models import Employee
from app.pipeline.keys import educator_key, name_part

_WORD = re.compile(r"[^\s,;|\"']+")


class Grade(IntEnum):
    """How sure it is that something is of the person."""

    NAME = 1
    ID = 2


@dataclass(frozen=True)
class Person:
    """An employee, a former one, or somebody whom only the state's files know.

    `row_id` is the key of an employee who is still stored, `number` also that of one who was; `last` and
    `first` are all names as they are compared, `doubtful_keys` ids that count only together with these.
    """

    district_id: str
    number: str | None = None
    row_id: int | None = None
    educator_keys: frozenset[str] = frozenset()
    doubtful_keys: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()
    first: frozenset[str] = frozenset()

    @classmethod
    def of(cls, employee: Employee) -> Self:
        """Return who an employee is, by every name that is stored."""
        known = cls(employee.district_id, employee.employee_number, employee.id)
        return known.with_id(employee.state_staff_id).learn_record(employee.model_dump())

    def with_id(self, educator_id: str | None) -> Self:
        """Return the person with an id that is surely theirs; a blank is none."""
        keys = {key} if (key := educator_key(educator_id)) else set()
        return replace(self, educator_keys=self.educator_keys | keys, doubtful_keys=self.doubtful_keys - keys)

    def doubting(self, keys: Iterable[str]) -> Self:
        """Return the person with these ids in doubt, those of them that they have."""
        doubted = self.educator_keys & set(keys)
        return replace(
            self, educator_keys=self.educator_keys - doubted, doubtful_keys=self.doubtful_keys | doubted
        )

    def learn_record(self, record: Mapping[str, Any]) -> Self:
        """Return the person with the names of a former record, or a part of it, and with its id in doubt."""
        last = (record.get(name) for name in ("last_name", "legal_last_name", "former_last_name"))
        first = (record.get(name) for name in ("first_name", "legal_first_name"))
        return self.learn(record.get("state_staff_id"), last, first)

    def learn(self, educator_id: str | None, last: Iterable[str | None], first: Iterable[str | None]) -> Self:
        """Return the person with more names, and an id in doubt unless it is known; blanks are none."""
        key = educator_key(educator_id)
        new = {key} - self.educator_keys if key else set()
        return replace(
            self,
            doubtful_keys=self.doubtful_keys | new,
            last=self.last | {part for name in last if (part := name_part(name))},
            first=self.first | {part for name in first if (part := name_part(name))},
        )

    def grade(self, educator_id: str | None, last: str | None, first: str | None) -> Grade | None:
        """Return how sure it is that somebody of this id and name is the person; None if it is not."""
        named = name_part(last) in self.last and name_part(first) in self.first
        return self._grade([educator_id], named=named)

    def in_text(self, text: str) -> Grade | None:
        """Return how sure it is that a text of no known form names the person.

        A last name that is the whole text counts: it may be the cell of a row that was rejected for it.
        """
        plain = name_part(text)
        named = plain in self.last or (_holds(plain, self.last) and _holds(plain, self.first))
        return self._grade(_WORD.findall(text), named=named)

    def in_cells(self, cells: Sequence[str]) -> Grade | None:
        """Return how sure it is that a row is of the person whose columns are not known."""
        parts = {name_part(cell) for cell in cells}
        return self._grade(cells, named=bool(parts & self.last and parts & self.first))

    def _grade(self, ids: Iterable[str | None], *, named: bool) -> Grade | None:
        keys = {key for text in ids if (key := educator_key(text))}
        if keys & self.educator_keys or (named and keys & self.doubtful_keys):
            return Grade.ID
        return Grade.NAME if named else None


def _holds(text: str, names: Iterable[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)
