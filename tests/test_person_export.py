"""Who a person is, by number, id and name, and what an export has of them: theirs, and nobody else's."""

import json
from typing import Any

import pytest

from app.errors import ConflictError
from app.factory import Factory
from app.pipeline.person import Grade, Person
from app.pipeline.text_format import as_read, visible
from tests.support.imports import DISTRICT, employee, row, succeed, write_file
from tests.support.one_person import CODE, FIRST, FORMER, FULL, LAST, LICENCE, NUMBER, live

PERSON = Person(DISTRICT, NUMBER).with_id("0045127").learn("60334", ["O'Neil", "Ñúñez"], ["Ann Mary"])


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("45127", Grade.ID),
        ("x;0045127;y", Grade.ID),
        ("451270", None),
        ("60334", None),
        ("60334;O'Neil;Ann Mary", Grade.ID),
        (as_read(visible("7\tO'NEIL\tAnn\xa0Mary\t\x9b")), Grade.NAME),
        (as_read(visible("7\xa0,\t0045127\n")), Grade.ID),
        ("\\U00ffffff\\x45127", None),
        ("o'neil", Grade.NAME),
        ("9|O'NEIL|ann  mary|L1", Grade.NAME),
        ("O'Neill, Ann Mary", None),
        ("13/45/2026", None),
        ("ñúñez", Grade.NAME),
        ("Ann Mary", None),
        ("", None),
    ],
)
def test_a_text_names_the_person(text: str, grade: Grade | None) -> None:
    assert PERSON.in_text(text) == grade


def test_a_name_is_no_regular_expression() -> None:
    person = Person(DISTRICT, NUMBER).learn(None, ["R.y (Jr"], ["A*"])
    assert person.in_text("7;R.y (Jr;A*") is Grade.NAME
    assert person.in_text("7;Roy (Jr;AAA") is None


@pytest.mark.parametrize(
    ("who", "grade"),
    [
        (("45127", "Other", "Name"), Grade.ID),
        (("60334", "Other", "Name"), None),
        (("060334", "O'Neil", "Ann Mary"), Grade.ID),
        (("7", "O'NEIL", " ann mary"), Grade.NAME),
        (("7", "O'Neil", "Ann"), None),
        ((None, None, None), None),
        (("", "", ""), None),
    ],
)
def test_a_row_is_of_the_person(who: tuple[Any, Any, Any], grade: Grade | None) -> None:
    assert PERSON.grade(*who) == grade


def test_nobody_without_id_and_name_is_anybody() -> None:
    nobody = Person(DISTRICT, "1").learn(None, ["", None], [""])
    assert nobody.grade(None, "", "") is None
    assert nobody.in_text("") is None
    assert nobody.in_cells(["", "x"]) is None


async def test_an_export_has_all_that_is_theirs_and_nobody_elses(lenient: Factory) -> None:
    await live(lenient, lenient.settings.data_dir / "state")
    found = await lenient.personal_data.find(DISTRICT, NUMBER)
    document = await lenient.personal_data.export(found)
    text = json.dumps(document)
    assert document["employee"][0]["last_name"] == LAST
    assert document["employee"][0]["former_last_name"] == FORMER
    assert [one["license_number"] for one in document["certifications"]] == [LICENCE]
    assert [one["code"] for one in document["endorsements"]] == [CODE]
    assert len(document["edits"]) == 4
    assert document["stored_answers"][0]["body"]["employee_number"] == NUMBER
    assert {one["list"] for one in document["run_lists"]} >= {"change", "overwritten", "skipped", "rejected"}
    assert len(document["pdf_reports"]) == 2, "the refused file had no readable row"
    files = {one["name"]: one for one in document["licence_files"]}
    assert len(files) == 3
    first = files["Curr_Lic_Eds_End_Limits_20260101.csv"]
    assert [line["line"] for line in first["lines"]] == [2, 3, 6]
    assert first["lines"][0]["cells"]["LicenseNumber"] == LICENCE
    assert first["same_name_only_in_lines"] == [5]
    for other in ("Otter", "Marsh", "Nobody", "educator_key"):
        assert other not in text, other


async def test_an_id_of_two_employees_names_their_numbers(lenient: Factory) -> None:
    whom: dict[str, Any] = {"employee": None, "educator_id": "45127"}
    await lenient.employees.put_all(DISTRICT, [FULL, employee("3", "45127", "Otter", "Tom")])
    with pytest.raises(ConflictError, match="3, N7731"):
        await lenient.personal_data.find(DISTRICT, **whom)
    await lenient.employees.delete(DISTRICT, "3", None)
    assert (await lenient.personal_data.find(DISTRICT, **whom)).person.number == NUMBER


async def test_an_export_has_no_other_employee_of_the_same_id(lenient: Factory) -> None:
    people = [FULL, employee("3", "45127", "Otter", "Tom")]
    await lenient.employees.put_all(DISTRICT, people)
    rows = [row("45127", "Otter", "Tom"), row("45127", LAST, FIRST)]
    await succeed(lenient, write_file(lenient.settings.data_dir / "state", rows))
    found = await lenient.personal_data.find(DISTRICT, NUMBER)
    lines = (await lenient.personal_data.export(found))["run_lists"]
    assert {line["list"] for line in lines} >= {"other_name", "change"}
    named = [
        line["line"] for line in lines if line["list"] == "other_name" and "file_last_name" in line["line"]
    ]
    assert {line["file_last_name"] for line in named} == {"Otter", LAST}
    assert {line.get("employee_number") for line in named} == {None, NUMBER}
