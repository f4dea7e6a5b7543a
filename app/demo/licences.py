"""Draws the licence file's rows, one person at a time, so that a file of any size needs little memory."""

from collections.abc import Callable, Sequence
from datetime import date
from random import Random
from typing import NamedTuple, TypeVar

from app.demo.stories import REJECTED, Story
from app.demo.vermont import CONTENT_AREAS, LEVELS, LICENCE_TYPES, LIMITATIONS, LicenceType

HEADER = (
    "EducatorID", "LastName", "FirstName", "MiddleName", "LicenseNumber", "LicenseType", "LicenseStatus",
    "LicenseIssueDate", "LicenseExpirationDate", "EndorsementCode", "EndorsementDescription",
    "EndorsementIssueDate", "EndorsementExpirationDate", "Limitation",
)  # fmt: skip
(
    ID,
    LAST,
    FIRST,
    MIDDLE,
    NUMBER,
    TYPE,
    STATUS,
    ISSUED,
    EXPIRES,
    CODE,
    TITLE,
    END_ISSUED,
    END_EXPIRES,
    LIMIT,
) = range(len(HEADER))

LONGEST_BLOCK = 20
"""No person has as many rows."""

EARLIER_LICENCE, SECOND_LICENCE, LIMITED, ENDS_IN_DECEMBER = 0.2, 0.06, 0.05, 0.03
"""Shares of the people, endorsements and licences of which this is true."""

Row = list[str]
T = TypeVar("T")


class Licensee(NamedTuple):
    """A person as the state knows them, the content areas they may teach, and what is special about them."""

    educator_id: str
    last_name: str
    first_name: str
    middle_name: str
    areas: tuple[str, ...]
    story: Story | None = None
    former_last_name: str = ""
    ours: bool = False


def pick(rng: Random, items: Sequence[T]) -> T:
    """Return one of `items`: as fair as `choice`, three times as quick, alike in every Python."""
    return items[int(rng.random() * len(items))]


def spread(**weights: int) -> tuple[str, ...]:
    """Return each name as often as its weight, for `pick`."""
    return tuple(name for name, weight in weights.items() for _ in range(weight))


ENDORSEMENTS = {
    area: tuple((f"{level}-{area}", f"{title}, {LEVELS[level]}") for level in levels)
    for area, (title, levels) in CONTENT_AREAS.items()
}
TYPES = tuple(kind for kind in LICENCE_TYPES for _ in range(kind.weight))
LEVEL_I = LICENCE_TYPES[1]
PROVISIONAL = LICENCE_TYPES[2]
CURRENT = spread(ACT=92, UDR=8)
ANY_STATUS = spread(ACT=156, UDR=14, EXP=18, LAP=6, PEN=3, SUS=2, REV=1)
NOT_IMPORTED = spread(EXP=5, LAP=4, PEN=2, SUS=2, REV=2)
LICENCE_DAY = ("07/01",) * 7 + ("04/15", "05/20", "06/10")
ENDORSEMENTS_A_LICENCE = (1,) * 11 + (2,) * 6 + (3,) * 2 + (4,)


class Registrar:
    """The state's licence office: numbers licences one after the other and writes their rows."""

    def __init__(self, rng: Random, today: date) -> None:
        self._rng = rng
        self._number = 12_000
        # nearly all licences end on a 30 June; this is the year of the next
        self._next_june = today.year + (today > date(today.year, 6, 30))

    def rows(self, person: Licensee) -> list[Row]:
        """Return all rows of `person`, with whatever their story does to them."""
        story = person.story
        if story is Story.OTHER_STATUS:
            return self._licence(person, pick(self._rng, TYPES), pick(self._rng, NOT_IMPORTED))
        status = pick(self._rng, CURRENT if person.ours else ANY_STATUS)
        ended = story is Story.EXPIRED or status == "EXP"
        rows = self._licence(person, pick(self._rng, TYPES), status, ended=ended)
        if story in EFFECTS:
            rows = EFFECTS[story](rows)
        if story is Story.LICENCE_UNDER_FORMER_NAME:
            former = person._replace(last_name=person.former_last_name)
            rows += self._licence(former, LEVEL_I, "ACT")
        if story not in REJECTED:
            if self._rng.random() < EARLIER_LICENCE:
                rows += self._licence(person, LEVEL_I, "EXP", ended=True)
            if self._rng.random() < SECOND_LICENCE:
                rows += self._licence(person, PROVISIONAL, "ACT")
        return rows

    def _licence(self, person: Licensee, kind: LicenceType, status: str, *, ended: bool = False) -> list[Row]:
        """Return the rows of a new licence, one an endorsement; `ended` lets it run out before today."""
        rng = self._rng
        self._number += 1
        if ended:
            year = self._next_june - 1 - int(rng.random() * kind.term)
        else:
            year = self._next_june + int(rng.random() * kind.term)
        issued = f"{pick(rng, LICENCE_DAY)}/{year - kind.term}"
        expires = f"12/31/{year}" if not ended and rng.random() < ENDS_IN_DECEMBER else f"06/30/{year}"
        endorsements: dict[str, str] = {}
        for _ in range(pick(rng, ENDORSEMENTS_A_LICENCE)):
            code, title = pick(rng, ENDORSEMENTS[pick(rng, person.areas)])
            endorsements[code] = title
        return [
            [
                person.educator_id, person.last_name, person.first_name, person.middle_name,
                f"{self._number:07d}", kind.name, status, issued, expires,
                code, title, issued, expires, pick(rng, LIMITATIONS) if rng.random() < LIMITED else "",
            ]
            for code, title in endorsements.items()
        ]  # fmt: skip


def _without(*columns: int) -> Callable[[list[Row]], list[Row]]:
    """Return an effect that blanks `columns` in every row."""

    def blank(rows: list[Row]) -> list[Row]:
        for row in rows:
            for column in columns:
                row[column] = ""
        return rows

    return blank


def _first_row_with(column: int, value: str) -> Callable[[list[Row]], list[Row]]:
    """Return an effect that leaves one row, with `value` in `column`."""

    def change(rows: list[Row]) -> list[Row]:
        rows[0][column] = value
        return rows[:1]

    return change


def _differently(rows: list[Row]) -> list[Row]:
    """Write names in capitals, with white space around and doubled within."""
    for row in rows:
        row[LAST] = f" {row[LAST].upper().replace(' ', '  ')}"
        row[FIRST] = f"{row[FIRST].upper()} "
    return rows


def _disagreeing(rows: list[Row]) -> list[Row]:
    """Add the first endorsement once more, on a licence that ends a year later."""
    again = list(rows[0])
    again[EXPIRES] = f"{again[EXPIRES][:-4]}{int(again[EXPIRES][-4:]) + 1}"
    return [*rows, again]


EFFECTS: dict[Story, Callable[[list[Row]], list[Row]]] = {
    Story.NO_ISSUE_DATE: _without(ISSUED, END_ISSUED),
    Story.NO_EXPIRATION_DATE: _without(EXPIRES, END_EXPIRES),
    Story.NO_ENDORSEMENT: lambda rows: _without(CODE, TITLE, END_ISSUED, END_EXPIRES, LIMIT)(rows[:1]),
    Story.WRITTEN_DIFFERENTLY: _differently,
    Story.DISAGREEING_ROWS: _disagreeing,
    Story.DUPLICATE_ROWS: lambda rows: [*rows, list(rows[0]), list(rows[0])],
    Story.BAD_DATE: _first_row_with(ISSUED, "02/30/2024"),
    Story.NO_LICENCE_NUMBER: _first_row_with(NUMBER, ""),
    Story.ID_NOT_A_NUMBER: _first_row_with(ID, "VT-10482"),
    Story.NO_EDUCATOR_ID: _first_row_with(ID, ""),
    Story.NO_STATUS: _first_row_with(STATUS, ""),
    Story.TOO_FEW_FIELDS: lambda rows: [rows[0][:EXPIRES]],
    # no limitation: one of two lines could be read as two rows of a wrong length
    Story.TOO_MANY_FIELDS: lambda rows: [[*rows[0][:LIMIT], "", "see remark"]],
}
