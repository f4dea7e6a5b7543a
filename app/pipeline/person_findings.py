"""Which lines of runs' lists are of a person, or name them among others, and how they are taken out.

Lists of an employee have the number. Others name people of the state's file: candidates, holders of the same
Educator ID, rejected rows.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FindingKind
from app.models import RunFinding
from app.pipeline.keys import educator_key
from app.pipeline.person import Grade, Person
from app.pipeline.text_format import as_read

finding = RunFinding.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

ERASED = "(erased)"
"""Stands in lists in the place of somebody's name, id or text."""
NAMING = (FindingKind.SKIPPED, FindingKind.OTHER_NAME, FindingKind.REJECTED)
"""Lists that name people other than the employee of the line."""
OF_THE_EMPLOYEE = ("employee_number", "last_name", "first_name")
CHUNK = 2000

Data = dict[str, Any]


@dataclass(frozen=True)
class Mention:
    """A line that is the person's own, or names them; `grade` tells how sure that is."""

    id: int
    run_id: UUID
    kind: FindingKind
    data: Data
    own: bool
    grade: Grade


async def mentions(
    connection: AsyncConnection, person: Person, after: int = 0
) -> AsyncIterator[tuple[int, list[Mention]]]:
    """Yield, chunk by chunk, the highest id that was looked at, and the lines that concern the person.

    JSON is searched as the person's names are compared, which no database does; so lists that name others
    are read whole.
    """
    own = finding.c.data["employee_number"].as_string() == person.number
    wanted = sa.or_(own, finding.c.kind.in_(NAMING)) if person.number else finding.c.kind.in_(NAMING)
    columns = (finding.c.id, finding.c.run_id, finding.c.kind, finding.c.data)
    while True:
        query = (
            sa.select(*columns)
            .where(finding.c.district_id == person.district_id, finding.c.id > after, wanted)
            .order_by(finding.c.id)
            .limit(CHUNK)
        )
        rows = (await connection.execute(query)).all()
        if not rows:
            return
        after = rows[-1].id
        found = (mention(person, row) for row in rows)
        yield after, [one for one in found if one is not None]


def mention(person: Person, row: sa.Row[Any]) -> Mention | None:
    """Return what a line has of the person, None if it is nothing."""
    own = person.number is not None and row.data.get("employee_number") == person.number
    grade = Grade.ID if own else grade_of(person, row.kind, row.data)
    return Mention(row.id, row.run_id, row.kind, row.data, own, grade) if grade else None


def grade_of(person: Person, kind: FindingKind, data: Data) -> Grade | None:
    """Return how sure it is that another employee's line, or nobody's, names the person."""
    match kind:
        case FindingKind.SKIPPED:
            return max(filter(None, (_candidate(person, one) for one in data["candidates"])), default=None)
        case FindingKind.OTHER_NAME:
            return person.grade(data["educator_id"], data["file_last_name"], data["file_first_name"])
        case FindingKind.REJECTED:
            return person.in_text(as_read(str(data["value"])))
    return None


def learn(person: Person, found: Mention) -> Person:
    """Return the person with the names and the id that a line knows of them.

    The state's names are taken for those of somebody who is no employee: an employee has names of their own,
    and perhaps a wrong id. An id is surely theirs only if nothing else is known of one who was deleted.
    """
    data = found.data
    if found.own:
        known_id = data.get("state_staff_id") or data.get("educator_id")
        if person.row_id is None and not (person.educator_keys | person.doubtful_keys):
            person = person.with_id(known_id)
        return person.learn(known_id, [data.get("last_name")], [data.get("first_name")])
    if found.kind is FindingKind.SKIPPED and person.number is None:
        for one in data["candidates"]:
            if _candidate(person, one) is Grade.ID:
                person = person.learn(None, [one["last_name"]], [one["first_name"]])
    return person


def shown(person: Person, found: Mention) -> Data:
    """Return what an export may have of a line: what is the person's, and of others only how many."""
    data = found.data
    if found.kind is FindingKind.OTHER_NAME and not found.own:
        return {name: value for name, value in data.items() if name not in OF_THE_EMPLOYEE}
    if found.kind is not FindingKind.SKIPPED:
        return data
    theirs = [one for one in data["candidates"] if _candidate(person, one) is Grade.ID]
    others = len(data["candidates"]) - len(theirs)
    if found.own:
        return {**data, "candidates": theirs, "other_candidates": others}
    return {"candidates": theirs}  # the rest of the line is of the employee who was skipped


def redacted(person: Person, kind: FindingKind, data: Data) -> Data:
    """Return another's line without the person; who is there only by the same name goes as well."""
    match kind:
        case FindingKind.SKIPPED:
            gone = {"educator_id": "", "last_name": ERASED, "first_name": ERASED}
            left = [one | gone if _candidate(person, one) else one for one in data["candidates"]]
            return {**data, "candidates": left}
        case FindingKind.OTHER_NAME:
            return {**data, "educator_id": "", "file_last_name": ERASED, "file_first_name": ERASED}
        case _:
            return {**data, "value": ERASED}


async def numbers_with_id(connection: AsyncConnection, district_id: str, key: str) -> set[str]:
    """Return the numbers of the employees whom lists know by this Educator ID as their own."""
    data = finding.c.data
    known_id = sa.func.coalesce(data["state_staff_id"].as_string(), data["educator_id"].as_string())
    kinds = (FindingKind.SKIPPED, FindingKind.OTHER_NAME)
    query = (
        sa.select(data["employee_number"].as_string(), known_id)
        .where(finding.c.district_id == district_id, finding.c.kind.in_(kinds))
        .distinct()
    )
    return {found for found, text in await connection.execute(query) if educator_key(text) == key}


async def take_out(connection: AsyncConnection, person: Person, found: Sequence[Mention]) -> None:
    """Delete the person's own lines, and take them out of the others, as these are now."""
    table = sa.delete(finding).where(finding.c.district_id == person.district_id)
    own = [one.id for one in found if one.own]
    for start in range(0, len(own), CHUNK):
        await connection.execute(table.where(finding.c.id.in_(own[start : start + CHUNK])))
    others = [one.id for one in found if not one.own]
    for start in range(0, len(others), CHUNK):
        chosen = sa.select(finding.c.id, finding.c.kind, finding.c.data).where(
            finding.c.district_id == person.district_id, finding.c.id.in_(others[start : start + CHUNK])
        )
        for row in (await connection.execute(chosen)).all():
            await connection.execute(
                sa.update(finding)
                .where(finding.c.id == row.id)
                .values(data=redacted(person, row.kind, row.data))
            )


def _candidate(person: Person, one: Data) -> Grade | None:
    return person.grade(one["educator_id"], one["last_name"], one["first_name"])
