"""Whatever people write in whatever order: answers, records and the log are as a simple model has them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.storage.record_edits import FIELDS
from app.storage.record_ids import certification_id, endorsement_id
from tests.support.api import HERE, Api
from tests.support.imports import certification, endorsement, select, write
from tests.support.records import content, edits, hire, record_edit

Values = dict[str, Any]
Call = tuple[str, str, Values | None]

EXAMPLES = 15
EMPLOYEES, LICENCES, CODES = ("E1", "E2"), ("L1", "L2"), ("11", "11", "12")
DAYS = st.sampled_from([None, "2025-01-01", "2026-01-01"])
DATES = {"issue_date": DAYS, "expiration_date": DAYS}
STATUS = {"status": st.sampled_from(["ACT", "UDR"])}
TEXTS = {name: st.sampled_from([None, "x", "y"]) for name in ("description", "limitation")}
PRIMARY = {"primary": st.booleans()}


def licence_id(employee: str, number: str) -> UUID:
    return certification_id(HERE, employee, number, "")


LICENCE_IDS = {
    (employee, number): licence_id(employee, number) for employee in EMPLOYEES for number in LICENCES
}
CODE_IDS = {
    (*licence, code, ordinal): endorsement_id(identifier, code, ordinal)
    for licence, identifier in LICENCE_IDS.items()
    for code in CODES
    for ordinal in (1, 2)
}


def calls() -> st.SearchStrategy[Call]:
    """Requests that mostly meet: on one licence, and on the first endorsements of a code."""
    often = ("E1", "L1")
    licence = st.just(often) | st.sampled_from(sorted(LICENCE_IDS))
    code = st.sampled_from([(*often, "11", 1), (*often, "11", 2)]) | st.sampled_from(
        [key for key in CODE_IDS if key[3] == 1]
    )
    new_licence = st.builds(
        lambda key, body: {"employee_number": key[0], "license_number": key[1], **body},
        licence,
        st.fixed_dictionaries(STATUS, optional=DATES),
    )
    new_code = st.builds(
        lambda key, code, body: {"certification_id": str(LICENCE_IDS[key]), "code": code, **body},
        licence,
        st.sampled_from(CODES),
        st.fixed_dictionaries({}, optional={**TEXTS, **DATES, **PRIMARY}),
    )
    licences = licence.map(lambda key: f"/certifications/{LICENCE_IDS[key]}")
    codes = code.map(lambda key: f"/endorsements/{CODE_IDS[key]}")
    some_licence = st.fixed_dictionaries({}, optional={**STATUS, **DATES})
    some_code = st.fixed_dictionaries({}, optional={**TEXTS, **DATES, **PRIMARY})
    return st.one_of(
        st.tuples(st.just("POST"), st.just("/certifications"), new_licence),
        st.tuples(st.just("POST"), st.just("/endorsements"), new_code),
        st.tuples(st.just("PATCH"), licences, some_licence),
        st.tuples(st.just("PATCH"), codes, some_code),
        st.tuples(st.just("DELETE"), licences, st.none()),
        st.tuples(st.just("DELETE"), codes, st.none()),
    )


class Model:
    """All records by id, as plain values; `owner` of an endorsement is its certification's id."""

    def __init__(self) -> None:
        self.licences: dict[str, Values] = {}
        self.codes: dict[str, Values] = {}

    def answer(self, method: str, path: str, body: Values | None) -> int:
        """Do what the call says; return its status."""
        noun, identifier = path.strip("/").split("/") if path.count("/") > 1 else (path.strip("/"), "")
        handle: dict[str, Callable[..., int]] = {
            "POST certifications": self.add_licence,
            "POST endorsements": self.add_code,
            "PATCH certifications": self.change_licence,
            "PATCH endorsements": self.change_code,
            "DELETE certifications": self.delete_licence,
            "DELETE endorsements": self.delete_code,
        }
        return handle[f"{method} {noun}"](identifier, body)

    def add_licence(self, _: str, body: Values) -> int:
        identifier = str(licence_id(body["employee_number"], body["license_number"]))
        record = dict.fromkeys(("issue_date", "expiration_date")) | body
        if disordered(record):
            return 422
        if identifier in self.licences:
            return 409
        self.licences[identifier] = record
        return 201

    def change_licence(self, identifier: str, body: Values) -> int:
        if identifier not in self.licences:
            return 404
        record = self.licences[identifier] | body
        if disordered(record):
            return 422
        self.licences[identifier] = record
        return 200

    def delete_licence(self, identifier: str, _: None) -> int:
        if self.licences.pop(identifier, None) is None:
            return 404
        self.codes = {key: code for key, code in self.codes.items() if code["owner"] != identifier}
        return 204

    def add_code(self, _: str, body: Values) -> int:
        owner = body["certification_id"]
        blank = dict.fromkeys((*TEXTS, *DATES)) | {"primary": False}
        record: Values = blank | body | {"owner": owner}
        if disordered(record) or owner not in self.licences:
            return 422
        if status := self.refusal(record, ""):
            return status
        ordinals = (str(endorsement_id(UUID(owner), record["code"], ordinal)) for ordinal in range(1, 100))
        self.codes[next(key for key in ordinals if key not in self.codes)] = record
        return 201

    def change_code(self, identifier: str, body: Values) -> int:
        if identifier not in self.codes:
            return 404
        record = self.codes[identifier] | body
        if disordered(record):
            return 422
        if status := self.refusal(record, identifier):
            return status
        self.codes[identifier] = record
        return 200

    def delete_code(self, identifier: str, _: None) -> int:
        return 204 if self.codes.pop(identifier, None) else 404

    def refusal(self, record: Values, identifier: str) -> int | None:
        """409 for what is there, 422 for a second primary of the employee."""
        others = [each for key, each in self.codes.items() if key != identifier]
        same = ("owner", "code", "limitation", "issue_date", "expiration_date")
        if any(content(each, *same) == content(record, *same) for each in others):
            return 409
        holder = self.licences[record["owner"]]["employee_number"]
        primary = {self.licences[each["owner"]]["employee_number"] for each in others if each["primary"]}
        return 422 if record["primary"] and holder in primary else None


def disordered(record: Values) -> bool:
    issued, expires = record["issue_date"], record["expiration_date"]
    return issued is not None and expires is not None and issued > expires


@given(sequence=st.lists(calls(), min_size=5, max_size=25))
@hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_any_sequence_of_writes_equals_the_model(api: Api, sequence: list[Call]) -> None:
    await write(api.factory, *(sa.delete(table) for table in (endorsement, certification, record_edit)))
    await hire(api, *EMPLOYEES)
    model = Model()
    first: Call = (
        "POST",
        "/certifications",
        {"employee_number": "E1", "license_number": "L1", "status": "X"},
    )
    for method, path, body in [first, *sequence]:
        response = await api.call(method, path, body)
        assert response.status_code == model.answer(method, path, body), response.text
    for noun, records in (("certifications", model.licences), ("endorsements", model.codes)):
        table = certification if noun == "certifications" else endorsement
        held = {str(found["public_id"]) for found in await select(api.factory, sa.select(table.c.public_id))}
        assert held == set(records)
        for identifier, record in records.items():
            expected = {name: value for name, value in record.items() if name != "owner"}
            found = (await api.get(f"/{noun}/{identifier}")).json()
            assert content(found, *expected) == expected
    await the_log_tells_it(api, model)


async def the_log_tells_it(api: Api, model: Model) -> None:
    """What an edit found is what the one before it left; the last ones left what there is."""
    left: dict[str, Values] = {}
    for edit in await edits(api):
        identifier = str(edit["public_id"])
        assert edit["before"] == left.pop(identifier, None)
        assert edit["before"] != edit["after"]
        if edit["after"] is not None:
            left[identifier] = edit["after"]
    expected = {
        identifier: content(record, *FIELDS[kind])
        for kind, records in zip(FIELDS, (model.licences, model.codes), strict=True)
        for identifier, record in records.items()
    }
    assert left == expected
