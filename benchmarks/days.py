"""Licence files of one state on different days: the same people, and some of their licences different."""

import csv
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from app.demo.licences import EXPIRES, HEADER, LIMIT, NUMBER, TYPE, Row
from app.demo.stories import REJECTED
from app.demo.world import World, licence_rows

GONE, RENAMED, LIMITED = range(3)
"""Of ten licences that differ one is gone, one is of another type, one is limited; the others are renewed."""


def write_day(world: World, percent: int, path: Path) -> Path:
    """Write the world's licence file, with `percent` of its licences not as on day 0, and return its path.

    Without the rows that certsync would reject, so that a plain COPY takes the file as well.
    """
    sound = replace(world, cast=[person for person in world.cast if person.story not in REJECTED])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(_on_that_day(licence_rows(sound), percent))
    return path


def _on_that_day(rows: Iterator[Row], percent: int) -> Iterator[Row]:
    for row in rows:
        chance, kind = divmod(zlib.crc32(row[NUMBER].encode()) % 1000, 10)
        if chance >= percent:
            yield row
        elif kind == RENAMED:
            row[TYPE] += " (renamed)"
            yield row
        elif kind == LIMITED:
            row[LIMIT] = "From this day on"
            yield row
        elif kind != GONE:
            if row[EXPIRES]:
                row[EXPIRES] = f"{row[EXPIRES][:6]}{int(row[EXPIRES][6:]) + 1}"
            yield row
