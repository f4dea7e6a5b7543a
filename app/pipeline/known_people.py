"""A quick first look at each row of the file: could it be one of ours?"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.pipeline.match import active, employee

BITS = 1 << 27  # 16 MiB; with 500,000 employees fewer than one stranger in a hundred passes
CHUNK = 500
"""Employees read at a time: more of them would not stay in the processor's cache."""


class KnownPeople:
    """The educator ids and names of a district's active employees, as one bit a hash.

    A set of the keys themselves would grow with the district. A stranger whose hash is taken passes,
    and is found out by the match; nobody of ours is ever turned away.
    """

    def __init__(self) -> None:
        self._bits = bytearray(BITS // 8)

    def add(self, key: str) -> None:
        """Remember a key."""
        bit = hash(key) & (BITS - 1)
        self._bits[bit >> 3] |= 1 << (bit & 7)

    def maybe(self, educator_key: str, name_key: str | None) -> bool:
        """Tell whether the id or the name of a row may be an employee's."""
        bits = self._bits
        bit = hash(educator_key) & (BITS - 1)
        if bits[bit >> 3] & 1 << (bit & 7):
            return True
        if name_key is None:
            return False
        bit = hash(name_key) & (BITS - 1)
        return bool(bits[bit >> 3] & 1 << (bit & 7))


async def known_people(connection: AsyncConnection, district_id: str) -> KnownPeople:
    """Read the keys of the district's active employees, thousands at a time."""
    known = KnownPeople()
    query = sa.select(employee.c.educator_key, employee.c.name_key).where(active(district_id))
    result = await connection.stream(query, execution_options={"yield_per": CHUNK})
    async for chunk in result.partitions():  # awaiting each row would take longer than the row
        for row in chunk:
            for key in row:
                if key is not None:
                    known.add(key)
    return known
