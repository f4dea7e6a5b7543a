"""What the cells of a licence file may hold: each reader returns a value or says by ValueError what is wrong.

A reason completes the sentence that the column begins: "LicenseNumber is blank".
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from app.pipeline import keys
from app.pipeline.layout import FieldName

MAX_ID_DIGITS = 10
"""Significant digits of an Educator ID (alis-file.md)."""
MAX_TEXT = 100
"""Characters of what identifies a record: an index entry of PostgreSQL holds 2,704 bytes."""
MAX_NAME = 200
"""Characters of a name, for the same reason; names over the state's 36 and 20 are taken as they are."""
MAX_FREE_TEXT = 4000
"""Characters of a description or limitation, so that a batch of hostile rows stays small."""
CACHED = 1 << 14
"""Values remembered per column: an educator's rows follow each other, names and dates repeat."""

K = TypeVar("K", bound=str | tuple[str, ...])
T = TypeVar("T")


def educator_number(text: str) -> str:
    """Return an Educator ID's key; ValueError unless it is a number over 0 of up to 10 digits."""
    if text.isdigit() and text.isascii() and (digits := text.lstrip("0")) and len(digits) <= MAX_ID_DIGITS:
        return digits  # as nearly all are, in a quarter of the time
    if not text.strip():
        raise ValueError("is blank")
    key = keys.educator_key(text)
    if key is None:
        raise ValueError("is zero")
    if not (key.isascii() and key.isdigit() and len(key) <= MAX_ID_DIGITS):
        raise ValueError(f"is not a number of up to {MAX_ID_DIGITS} digits")
    return key


def short(text: str, limit: int = MAX_TEXT) -> str:
    """Return `text` cleaned; ValueError when it is longer than `limit`."""
    if not text.isalnum():  # most are, and clean already
        text = keys.clean(text)
    if len(text) > limit:
        raise ValueError(f"is longer than {limit} characters")
    return text


def present(text: str) -> str:
    """Return `text` cleaned; ValueError when it is blank or too long."""
    if text := short(text):
        return text
    raise ValueError("is blank")


def person_name(text: str) -> tuple[str, str]:
    """Return a name cleaned and as it is compared; a blank one is no fault. ValueError when too long."""
    name = short(text, MAX_NAME)
    if name.isascii():
        return name, name.lower()  # it is clean already
    return name, keys.name_part(name)


def free_text(text: str) -> str:
    """Return `text` trimmed, its line breaks kept; ValueError when it is too long."""
    text = text.strip()
    if len(text) > MAX_FREE_TEXT:
        raise ValueError(f"is longer than {MAX_FREE_TEXT} characters")
    return text


class Remembered(dict[K, T], Generic[K, T]):
    """What `read` makes of cells, kept for up to `CACHED` of them; half the cost of an lru_cache's hit."""

    def __init__(self, read: Callable[[K], T]) -> None:
        super().__init__()
        self._read: Callable[[K], T] = read

    def __missing__(self, cells: K) -> T:
        value = self._read(cells)
        if len(self) >= CACHED:
            self.clear()
        # Padding of any length reads well, and must not fill the memory.
        if (len(cells) if isinstance(cells, str) else sum(map(len, cells))) <= MAX_NAME:
            self[cells] = value
        return value


TEXTS: dict[FieldName, Callable[[str], str]] = {
    "EducatorID": educator_number,
    "LicenseNumber": present,
    "LicenseStatus": present,
    "LicenseType": short,
    "EndorsementCode": short,
    "EndorsementDescription": free_text,
    "Limitation": free_text,
}
"""What reads each text that can be wrong, in the order in which a row is judged."""
NAMES: tuple[FieldName, ...] = ("LastName", "FirstName")
DATES: tuple[FieldName, ...] = (
    "LicenseIssueDate",
    "LicenseExpirationDate",
    "EndorsementIssueDate",
    "EndorsementExpirationDate",
)
