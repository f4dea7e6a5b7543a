"""Rules of the import, one small file each: which row wins, who is skipped, what is listed (I3, I4, I12)."""

from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.factory import Factory
from tests.support.imports import (
    DISTRICT,
    employee,
    endorsement,
    lists,
    records,
    row,
    succeed,
    write,
    write_file,
)

EXPIRES, ISSUED, STATUS = "LicenseExpirationDate", "LicenseIssueDate", "LicenseStatus"


@pytest.fixture
async def district(factory: Factory) -> Factory:
    await factory.employees.put_all(DISTRICT, [employee("E1", "007", "Smith", "Ann")])
    return factory


def ann(**more: str) -> list[str]:
    return row("7", "Smith", "Ann", **more)


WINNERS = {
    "the latest expiration": [{EXPIRES: "06/30/2030", ISSUED: "01/01/2020"}, {EXPIRES: "06/30/2029"}],
    "any expiration before none": [{EXPIRES: "06/30/2020", STATUS: "UDR"}, {EXPIRES: ""}],
    "then the latest issue": [{ISSUED: "08/01/2025", STATUS: "UDR"}, {ISSUED: "07/01/2025"}],
    "any issue before none": [{ISSUED: "08/01/1999", STATUS: "UDR"}, {ISSUED: ""}],
    "then ACT before UDR": [{STATUS: "ACT"}, {STATUS: "UDR"}],
}


@pytest.mark.parametrize("rule", WINNERS)
async def test_of_rows_that_disagree_one_wins(district: Factory, tmp_path: Path, rule: str) -> None:
    winner, loser = (ann(**values) for values in WINNERS[rule])
    await succeed(district, write_file(tmp_path, [winner]))
    (alone,) = (await records(district))["certification"]
    for rows in ([winner, loser], [loser, winner, loser]):
        run = await succeed(district, write_file(tmp_path, rows))
        assert (await records(district))["certification"] == [alone]
        (listed,) = (await lists(district, run))["disagreement"]
        assert (listed["employee_number"], listed["variants"]) == ("E1", 2)
        assert listed["kept"]["status"] == alone["status"]


async def test_five_candidates_are_listed_and_the_rest_counted(district: Factory, tmp_path: Path) -> None:
    same_id = [row("7", f"Other{number}", "Ann") for number in range(4)]
    same_name = [row(f"90{number}", "Smith", "Ann") for number in range(3)]
    run = await succeed(district, write_file(tmp_path, [*same_name, *same_id, same_id[0]]))
    (skipped,) = (await lists(district, run))["skipped"]
    found = [(c["educator_id"], c["last_name"], c["disagrees"]) for c in skipped["candidates"]]
    assert found == [
        *(("7", f"Other{number}", ["last_name"]) for number in range(4)),
        ("900", "Smith", ["educator_id"]),
    ]
    assert skipped["more_candidates"] == 2
    assert skipped["disagrees"] == ["educator_id", "last_name"]
    assert (skipped["employee_number"], skipped["state_staff_id"]) == ("E1", "007")


async def test_the_legal_name_is_compared(district: Factory, tmp_path: Path) -> None:
    legal = {"legal_last_name": "Jones", "legal_first_name": "Anna"}
    await district.employees.put_all(DISTRICT, [employee("E1", "7", "Smith", "Ann", **legal)])
    run = await succeed(district, write_file(tmp_path, [ann(), row("7", "JONES", " anna ", "L2")]))
    assert [item["license_number"] for item in (await records(district))["certification"]] == ["L2"]
    (other,) = (await lists(district, run))["other_name"]
    assert (other["last_name"], other["file_last_name"], other["rows"]) == ("Jones", "Smith", 1)


async def test_a_renewed_endorsement_is_still_the_primary_one(district: Factory, tmp_path: Path) -> None:
    """Its limitation tells it apart from one that has taken its place in the order."""
    old = [ann(EndorsementCode="2-05", Limitation=text) for text in ("B", "C")]
    await succeed(district, write_file(tmp_path, old))
    chosen = endorsement.c.limitation == "B"
    await write(district, sa.update(endorsement).where(chosen).values(is_primary=True))
    until = {"EndorsementExpirationDate": "06/30/2031"}
    new = [ann(EndorsementCode="2-05", Limitation="A"), ann(EndorsementCode="2-05", Limitation="B", **until)]
    await succeed(district, write_file(tmp_path, new))
    (primary,) = [item for item in (await records(district))["endorsement"] if item["is_primary"]]
    assert (primary["limitation"], primary["expiration_date"]) == ("B", date(2031, 6, 30))
