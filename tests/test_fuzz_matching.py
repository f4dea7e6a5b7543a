"""What an import comes to does not depend on the order of the file, and nobody gets another one's licence.

That it is right is for `test_import_oracle.py`; this goes on with worlds that are made up anew.
"""

from pathlib import Path
from random import Random

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from app.factory import Factory
from app.pipeline.keys import educator_key, name_key
from tests.support.by_hand import forget_everything
from tests.support.fuzzing import SHARED
from tests.support.imports import (
    COLUMNS,
    DISTRICT,
    certification,
    employee_table,
    records,
    select,
    succeed,
    write_file,
)
from tests.support.worlds import History, histories

few = settings(max_examples=settings().max_examples // 20, deadline=None, suppress_health_check=SHARED)


@few
@given(history=histories(), seed=st.integers(0, 2**32))
async def test_the_order_of_the_rows_does_not_matter(
    lenient: Factory, tmp_path: Path, history: History, seed: int
) -> None:
    await forget_everything(lenient)
    await lenient.employees.put_all(DISTRICT, history.roster)
    first = await succeed(lenient, write_file(tmp_path, history.file))
    held = await records(lenient)
    shuffled = Random(seed).sample(history.file, len(history.file))
    second = await succeed(lenient, write_file(tmp_path, shuffled))
    assert await records(lenient) == held
    assert first.summary
    assert second.summary
    for figure in ("rows_read", "employees_matched", "certifications_imported", "endorsements_imported"):
        assert second.summary[figure] == first.summary[figure], figure
    await nobody_has_anothers(lenient, history.file)


async def nobody_has_anothers(factory: Factory, rows: list[list[str]]) -> None:
    """Each licence that is held is in a row that has the educator id and both names of its holder."""
    known = set()
    for cells in rows:
        row = dict(zip(COLUMNS, cells, strict=False))
        if len(cells) == len(COLUMNS):
            number = " ".join(row["LicenseNumber"].split())
            known.add((educator_key(row["EducatorID"]), name_key(row["LastName"], row["FirstName"]), number))
    query = sa.select(
        employee_table.c.educator_key, employee_table.c.name_key, certification.c.license_number
    ).join_from(certification, employee_table, certification.c.employee_id == employee_table.c.id)
    for found in await select(factory, query):
        assert tuple(found.values()) in known, found
