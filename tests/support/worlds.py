"""Small worlds in which everything collides: ids with zeros, names in several spellings, few licences."""

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.constants import EmployeeStatus
from tests.support.imports import COLUMNS, employee

IDS = ["7", "007", "7", " 07", "70", "8", "0", "", "12a", "12345678901"]
STATE_IDS = ["7", "0007", "70", "8", "8", None]
LAST = ["Smith", "SMITH", " smith ", "\uff33mith", "De La  Cruz", "de la cruz", "Strauß", "STRAUSS", ""]
FIRST = ["Ann", "ann", "José", "Jose\u0301", "Bo"]
DATES = ["", "07/01/2025", "2025-07-01", "06/30/2024", "06/30/2099"]
FILE_CELLS = {
    "EducatorID": IDS,
    "LastName": LAST,
    "FirstName": [*FIRST, ""],
    "LicenseNumber": ["L1", "L1", " L1", "L2", "l2", ""],
    "LicenseType": ["Level II", "Level  II", "", "Level I"],
    "LicenseStatus": ["ACT", "ACT", "UDR", " act ", "EXP", "Sus", ""],
    "LicenseIssueDate": [*DATES, "13/45/2026"],
    "LicenseExpirationDate": DATES,
    "EndorsementCode": ["", "2-05", "2-05", "3-11"],
    "EndorsementDescription": ["", "English", "Mathematics"],
    "EndorsementIssueDate": DATES,
    "EndorsementExpirationDate": DATES,
    "Limitation": ["", "", "One", " One", "one", "Ämter"],
}
# The first entry is the usual one: a row goes wrong in one place or two, not everywhere.
USUAL = {column: values[0] for column, values in FILE_CELLS.items()} | {
    "LicenseIssueDate": "07/01/2025",
    "LicenseExpirationDate": "06/30/2099",
    "EndorsementCode": "2-05",
    "EndorsementIssueDate": "07/01/2025",
}
JOB_CLASSES = ["TEACHER", "CLERK", None]
REQUIRED = {"TEACHER"}


@st.composite
def rows(draw: st.DrawFn, roster: list[dict[str, Any]]) -> list[str]:
    """A row of the file, most often somebody's of the roster but for a few cells; at times too short."""
    values = dict(USUAL)
    if draw(st.integers(0, 9)) < 8:
        person = draw(st.sampled_from(roster))
        values["EducatorID"] = person["state_staff_id"] or "9"
        values["LastName"] = person["legal_last_name"] or person["last_name"]
        values["FirstName"] = person["legal_first_name"] or person["first_name"]
    for column in draw(st.lists(st.sampled_from(COLUMNS), max_size=4, unique=True)):
        values[column] = draw(st.sampled_from(FILE_CELLS[column]))
    cells = [values[column] for column in COLUMNS]
    return cells[:5] if draw(st.integers(0, 19)) == 19 else cells


@st.composite
def files(draw: st.DrawFn, roster: list[dict[str, Any]]) -> list[list[str]]:
    """The rows of a file; half of them repeat another, most with one cell changed."""
    found = draw(st.lists(rows(roster), min_size=1, max_size=12))
    for _ in range(draw(st.integers(0, 12))):
        cells = list(draw(st.sampled_from(found)))
        at = draw(st.integers(0, 2 * len(COLUMNS)))
        if at < len(cells):
            cells[at] = draw(st.sampled_from(FILE_CELLS[COLUMNS[at]]))
        found.append(cells)
    return found


@st.composite
def people(draw: st.DrawFn, count: int) -> list[dict[str, Any]]:
    """A roster of the numbers E0 to E`count - 1`."""
    return [
        employee(
            f"E{number}",
            draw(st.sampled_from(STATE_IDS)),
            draw(st.sampled_from(LAST[:-1])).strip(),
            draw(st.sampled_from(FIRST)),
            legal_last_name=draw(st.sampled_from([None, None, None, "Smith", "De La Cruz"])),
            legal_first_name=draw(st.sampled_from([None, None, None, "ANN"])),
            status=draw(st.sampled_from([EmployeeStatus.ACTIVE] * 4 + [EmployeeStatus.TERMINATED])),
            job_class=draw(st.sampled_from(JOB_CLASSES)),
        )
        for number in range(count)
    ]


@dataclass
class Edit:
    """A change by hand between two imports; `pick` and `what` choose the record and the kind of change."""

    pick: int
    what: str


@dataclass
class History:
    """A first import, changes by hand, a changed roster, and the import that is under test."""

    roster_before: list[dict[str, Any]]
    file_before: list[list[str]]
    edits: list[Edit]
    roster: list[dict[str, Any]]
    file: list[list[str]]


EDITS = [
    "certification",
    "endorsement",
    "same",
    "primary",
    "new certification",
    "new endorsement",
    "delete certification",
    "delete endorsement",
]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Half of the rows of the second file come from the first, so that records come back."""
    count = draw(st.integers(2, 8))
    before, roster = draw(people(count)), draw(people(count))
    kept = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    roster = [old if keep else new for old, new, keep in zip(before, roster, kept, strict=True)]
    first = draw(files(before))
    again = draw(st.lists(st.sampled_from(first), max_size=24))
    edits = draw(st.lists(st.builds(Edit, st.integers(0, 9), st.sampled_from(EDITS)), max_size=8))
    return History(before, first, edits, roster, again + draw(files(roster)))


def tried(examples: int) -> hypothesis_settings:
    """How worlds are tried: the same ones every time, since a failure has to be met again."""
    return hypothesis_settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
