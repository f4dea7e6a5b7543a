"""A district in which one person stands wherever a person can stand, and a search for them everywhere."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from app.constants import EmployeeStatus
from app.factory import Factory
from app.models import IdempotencyKey, Run
from app.settings import Settings
from tests.support.imports import (
    COLUMNS,
    DISTRICT,
    certification,
    employee,
    endorsement,
    row,
    run_import,
    select,
    succeed,
    write,
    write_file,
)
from tests.support.object_storage import content, keys
from tests.support.table_rows import all_rows

LAST, FIRST, FORMER = "Quillfeather", "Zyxwora", "Plumtree"
NUMBER, LICENCE, CODE = "N7731", "VTQ88X", "QX9-05"
EDUCATOR_ID = "0045127"
SIGNS = (LAST, FIRST, FORMER, NUMBER, LICENCE, CODE)
"""What nobody else has."""
FULL = employee(NUMBER, EDUCATOR_ID, LAST, FIRST, former_last_name=FORMER)
answer = IdempotencyKey.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time


async def text_pdf(report: object, target: Path, **_: object) -> None:
    """Stand for the PDF: rendering takes a second each, and compresses what is looked for."""
    target.write_text("%PDF " + json.dumps(report))  # noqa: ASYNC240 - some bytes


def state_file(directory: Path, stamp: str) -> Path:
    """Write a file in which the person has a licence, one of a former name, and a broken row.

    Somebody else's id stands with their name, in capitals, and their id with another employee.
    """
    mine = {"number": LICENCE, "EndorsementCode": CODE, "LicenseType": f"T{stamp}"}
    return write_file(
        directory,
        [
            row("45127", LAST.upper(), FIRST, **mine),
            row("45127", FORMER, FIRST, number=LICENCE),
            row("9001", "Marsh", "Ann"),
            row("9001", LAST, FIRST, number=LICENCE),
            ["45127", LAST, f"{FIRST} "],
            row("9002", "Nobody", "Of Ours"),
        ],
        stamp,
    )


async def live(factory: Factory, directory: Path) -> list[Run]:
    """Import twice, with edits by hand between and after, and refuse a file; the person leaves then."""
    people = [FULL, employee("2", "9001", "Marsh", "Ann"), employee("3", "45127", "Otter", "Tom")]
    await factory.employees.put_all(DISTRICT, people)
    runs = [await succeed(factory, state_file(directory, "20260101"))]
    await edit_all(factory)
    runs.append(await succeed(factory, state_file(directory, "20260102")))
    await edit_all(factory)
    refused = write_file(directory, [["45127", LAST, FIRST]], "20260103", COLUMNS[:3])
    runs.append(await run_import(factory, refused))
    assert runs[-1].status == "failed"
    body = {"employee_number": NUMBER, "license_number": LICENCE}
    stored = {"caller": "u", "key": "k", "request_hash": "h", "status": 201, "headers": {}, "body": body}
    await write(factory, sa.insert(answer).values(district_id=DISTRICT, **stored))
    await set_status(factory, EmployeeStatus.TERMINATED)
    return runs


async def set_status(factory: Factory, status: EmployeeStatus) -> None:
    await factory.employees.put(DISTRICT, FULL | {"status": status}, None)


async def edit_all(factory: Factory) -> None:
    for found in await select(factory, sa.select(certification.c.public_id)):
        await factory.certifications.change(
            DISTRICT, "hr", found["public_id"], {"status": f"X{uuid4().hex[:4]}"}, None
        )
    for found in await select(factory, sa.select(endorsement.c.public_id)):
        await factory.endorsements.change(
            DISTRICT, "hr", found["public_id"], {"limitation": uuid4().hex}, None
        )


async def stored_files(factory: Factory) -> AsyncIterator[tuple[str, bytes]]:
    """Yield every file of the store, and of the data directory; the database's own files among them."""
    for folder in ("downloads", "reports"):
        for key in await keys(factory.files, folder):
            yield key, await content(factory.files, key)
    root = factory.settings.data_dir
    for path in root.rglob("*"):
        if path.is_file() and not path.is_relative_to(root / "state"):
            yield str(path.relative_to(root)), path.read_bytes()


async def places(factory: Factory, settings: Settings, *signs: str) -> dict[str, set[str]]:
    """Where each sign of the person stands: tables, and files by name; nothing where it is gone."""
    texts = {name: repr(rows).casefold() for name, rows in all_rows(settings).items() if rows}
    async for name, data in stored_files(factory):
        texts[f"file {name}"] = data.decode("latin-1").casefold()
    found = {
        sign: {name for name, text in texts.items() if sign.casefold() in text} for sign in signs or SIGNS
    }
    return {sign: names for sign, names in found.items() if names}
