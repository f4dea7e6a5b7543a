"""What the demo tells: every case that an import must get right, with the number of times it occurs."""

from enum import StrEnum


class Story(StrEnum):
    """What is special about one person in the licence file, or about one of our employees."""

    PREFERRED_FIRST_NAME = "our roster says Liz, the state says Elizabeth: skipped"
    FORMER_LAST_NAME = "the state still has the name before the marriage: skipped"
    TRANSPOSED_ID = "two digits of the educator id are swapped in our roster: skipped"
    NO_STAFF_ID = "our roster has no educator id: skipped"
    LEGAL_NAME = "the roster has a legal name beside the preferred one: matched"
    ZEROS_IN_ROSTER = "our roster pads the educator id with zeros: matched"
    ZEROS_IN_FILE = "the state pads the educator id with zeros: matched"
    WRITTEN_DIFFERENTLY = "the state writes capitals and more white space: matched"
    TERMINATED = "has left, but the file still has the licence: not matched"
    NO_LICENCE = "teaches and is not in the file: missing"
    OTHER_STATUS = "teaches, but no licence is ACT or UDR: missing"
    EXPIRED = "a licence that is still ACT has run out"
    NO_ISSUE_DATE = "a licence without an issue date"
    NO_EXPIRATION_DATE = "a licence without an expiration date"
    DISAGREEING_ROWS = "the rows of one licence disagree on its expiration date"
    DUPLICATE_ROWS = "the same row several times"
    LICENCE_UNDER_FORMER_NAME = "matched, but one more licence is under a former name"
    NO_ENDORSEMENT = "a licence without an endorsement"
    NAMESAKE = "somebody of another district has the same name as one of ours"
    BAD_DATE = "rejected: a date that does not exist"
    NO_LICENCE_NUMBER = "rejected: no licence number"
    ID_NOT_A_NUMBER = "rejected: an educator id with letters"
    NO_EDUCATOR_ID = "rejected: no educator id"
    NO_STATUS = "rejected: no licence status"
    TOO_FEW_FIELDS = "rejected: a row that is too short"
    TOO_MANY_FIELDS = "rejected: a row that is too long"


PER_2000_EMPLOYEES = {
    Story.PREFERRED_FIRST_NAME: 24,
    Story.FORMER_LAST_NAME: 16,
    Story.TRANSPOSED_ID: 12,
    Story.NO_STAFF_ID: 14,
    Story.LEGAL_NAME: 30,
    Story.ZEROS_IN_ROSTER: 10,
    Story.ZEROS_IN_FILE: 10,
    Story.WRITTEN_DIFFERENTLY: 20,
    Story.TERMINATED: 80,
    Story.NO_LICENCE: 18,
    Story.OTHER_STATUS: 15,
    Story.EXPIRED: 25,
    Story.NO_ISSUE_DATE: 20,
    Story.NO_EXPIRATION_DATE: 10,
    Story.DISAGREEING_ROWS: 15,
    Story.DUPLICATE_ROWS: 20,
    Story.LICENCE_UNDER_FORMER_NAME: 8,
    Story.NO_ENDORSEMENT: 10,
    Story.NAMESAKE: 12,
}
"""Employees of each story; each teacher is in one story at most."""

REJECTED = (
    Story.BAD_DATE,
    Story.NO_LICENCE_NUMBER,
    Story.ID_NOT_A_NUMBER,
    Story.NO_EDUCATOR_ID,
    Story.NO_STATUS,
    Story.TOO_FEW_FIELDS,
    Story.TOO_MANY_FIELDS,
)
ROWS_PER_REJECTED = 2_500
"""One rejected row of each kind in so many: 24 of each in 60,000, 0.28 % in all."""

SKIPPED = frozenset(
    {Story.PREFERRED_FIRST_NAME, Story.FORMER_LAST_NAME, Story.TRANSPOSED_ID, Story.NO_STAFF_ID}
)
UNLICENSED = SKIPPED | {Story.NO_LICENCE, Story.OTHER_STATUS}
"""Active teachers who hold no certification after an import."""


def scaled(story: Story, employees: int) -> int:
    """Return how many of `employees` are in `story`: at least one."""
    return max(1, PER_2000_EMPLOYEES[story] * employees // 2_000)
