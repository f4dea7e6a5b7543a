"""What PostgreSQL's planner knows when a new district's first imports are matched."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from app.factory import Factory
from app.row_security import ANALYZED
from tests.support.databases import WALLED
from tests.support.imports import DISTRICT, employee, row, succeed, write_file


async def rows_known(factory: Factory) -> dict[str, int]:
    """Return how many rows the planner takes each table to have; -1 before anybody has looked."""
    query = sa.text("SELECT relname, reltuples::int FROM pg_class WHERE relname = ANY(:tables)")
    async with factory.database.engine.connect() as connection:
        found = await connection.execute(query, {"tables": list(ANALYZED)})
        return {table.relname: table.reltuples for table in found}


@pytest.mark.parametrize("settings", ["postgresql", WALLED], indirect=True)
async def test_first_import_counts_the_roster_before_and_the_records_after(
    factory: Factory, tmp_path: Path
) -> None:
    people = [employee(f"E{number}", str(number), "Smith", f"Ann{number}") for number in range(1, 21)]
    await factory.employees.put_all(DISTRICT, people)
    assert await rows_known(factory) == dict.fromkeys(ANALYZED, -1)
    rows = [row(str(number), "Smith", f"Ann{number}") for number in range(1, 21)]
    await succeed(factory, write_file(tmp_path, rows))
    assert await rows_known(factory) == {"employee": 20, "certification": 20, "endorsement": 0}
