"""Counts records in the answer to one request, for whom that has to be known (`services/token_reads.py`).

The count goes with the task, so that who reads records need not know who asked.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


@dataclass
class Reading:
    """A request of a service token; `kind` is what personal data it reads, None if none.

    `records` is how many are in the answer so far, None while nothing was counted.
    """

    district_id: str | None
    token_id: UUID
    kind: str | None
    records: int | None = None


_current: ContextVar[Reading | None] = ContextVar("reading", default=None)


def begin(reading: Reading | None) -> None:
    """Count for `reading` what the running task answers from now on; with None, not at all."""
    _current.set(reading)


def answered(records: int) -> None:
    """Count so many records as answered; nothing happens when nobody counts."""
    reading = _current.get()
    if reading is not None:
        reading.records = (reading.records or 0) + records
