"""Who people are: names, and the numbers by which the state knows them."""

from collections.abc import Collection
from random import Random

from app.demo.licences import Licensee, pick
from app.demo.vermont import FIRST_NAMES, LAST_NAMES, SONS, SUFFIXES, TEACHING_JOBS

HYPHENATED, JUNIOR, WITH_MIDDLE_NAME = 0.04, 0.08, 0.6
"""Shares of the people of whom this is true."""

TEACHING = tuple(job for job in TEACHING_JOBS for _ in range(job.weight))


def educator_id(serial: int) -> str:
    """Return the state's number of the `serial`-th person, without a visible order.

    All are multiples of 7: when two neighbouring digits change places, the result is never another
    person's (the difference is 9, a power of ten and a digit other than 7).
    """
    return str(7 * (15_000 + serial * 5_300_003 % 14_000_029))


def transposed(number: str) -> str:
    """Return `number` with two neighbouring digits swapped, so that it is nobody's."""
    for place in range(len(number) - 1, 1, -1):
        left, right = number[place - 1], number[place]
        if abs(int(left) - int(right)) not in (0, 7):
            return number[: place - 1] + right + left + number[place + 1 :]
    return str(int(number) + 1)


def name_key(last: str, first: str) -> str:
    """Return what two names share when the import takes them for the same (I3)."""
    return f"{last}|{first}".casefold()


def last_name(rng: Random, first: str, *, hyphenated: bool) -> str:
    """Draw a last name; hyphenated ones are so many that a free one is soon found."""
    last = pick(rng, LAST_NAMES)
    if hyphenated or rng.random() < HYPHENATED:
        return f"{last}-{pick(rng, LAST_NAMES)}"
    if first in SONS and rng.random() < JUNIOR:
        return f"{last} {pick(rng, SUFFIXES)}"
    return last


def stranger(rng: Random, names: Collection[str], serial: int) -> Licensee:
    """Draw somebody of another district, with a name that none of ours has."""
    first = pick(rng, FIRST_NAMES)
    last = last_name(rng, first, hyphenated=False)
    while name_key(last, first) in names:
        last = last_name(rng, first, hyphenated=True)
    middle = pick(rng, FIRST_NAMES) if rng.random() < WITH_MIDDLE_NAME else ""
    return Licensee(educator_id(serial), last, first, middle, pick(rng, TEACHING).areas)
