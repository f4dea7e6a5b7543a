"""What a list may be asked: sorts, keywords, instants, and cursors that fit the question."""

from datetime import datetime
from random import Random
from uuid import uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.api.pages import MOST_KEYWORDS
from app.constants import RunKind, RunTrigger
from app.models import JobClass, Run
from tests.support.api import HERE, Api, places, problem
from tests.support.lists import AT, NOUNS, Seeds, add_titles, titles
from tests.support.worlds import tried


async def add_run_at(api: Api, at: datetime) -> None:
    await api.add(
        Run(
            district_id=HERE,
            task_description="Licences",
            kind=RunKind.IMPORT,
            trigger=RunTrigger.RUN_NOW,
            scheduled_start=at,
            run_by="kmarsh",
        )
    )


TITLES = ["École 100%", "école", "a_b", "back\\slash [x]", "ΟΔΟΣ"]
KEYWORDS = {
    "ÉCOLE": TITLES[:2],
    "  école  100% ": TITLES[:1],
    "100% école": TITLES[:1],
    "%": TITLES[:1],
    "_": ["a_b"],
    ".": [],
    "\\": ["back\\slash [x]"],
    "[X]": ["back\\slash [x]"],
    "οδος": ["ΟΔΟΣ"],
    "c0 école": TITLES[:1],
    "c1école": [],
    "c1\u00a0école": TITLES[1:2],
    "": TITLES,
    "   ": TITLES,
    "x" * 200: [],
}


@pytest.mark.parametrize("query", ["limit=5&limit=7", "sort=end&sort=-end", "late=true&late=false"])
async def test_a_parameter_that_counts_once_is_not_given_twice(api: Api, query: str) -> None:
    body = problem(await api.get(f"/runs?{query}"), 422, "validation-failed")
    assert [fault["loc"] for fault in body["errors"]] == [["query", query.partition("=")[0]]]
    assert (await api.get("/runs?status=waiting&status=failed")).status_code == 200


async def test_keywords(api: Api) -> None:
    await add_titles(api, *TITLES)
    for q, found in KEYWORDS.items():
        assert (q, await titles(api, q=q)) == (q, found)
    for part in ("ÉCOLE", "%", "_", ".", "\\", "[X]", "E 10"):
        expected = [title for title in TITLES if part.casefold() in title.casefold()]
        assert (part, await titles(api, title=part)) == (part, expected)


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200))
@tried(100)
async def test_any_text_is_found_as_it_is_and_in_the_other_case(api: Api, text: str) -> None:
    assume(len(text.split()) <= MOST_KEYWORDS)
    await api.add(JobClass(district_id=HERE, code=(code := str(uuid4())), title=text, version=1))
    sent = {text}
    if all(each.upper().lower() == each for each in text):
        sent.add(text.upper())
    if all(each.lower().upper() == each for each in text):
        sent.add(text.lower())
    for q in sent:
        assert await titles(api, q=q, code=code) == [text], q


async def test_many_keywords(api: Api) -> None:
    letters = [chr(0x100 + 2 * at) for at in range(8)]
    await add_titles(api, "".join(letters), "".join(letters[1:]))
    assert await titles(api, q=" ".join(letters)) == ["".join(letters)]


@pytest.mark.parametrize("q", ["x" * 201, "a b c d e f g h i", "a\x00b", "a\x1bb", "\x00"])
async def test_keywords_that_are_refused(api: Api, q: str) -> None:
    for noun in NOUNS:
        assert places(await api.get(f"/{noun}", params={"q": q})) == [["query", "q"]]


async def test_unknown_sorts_are_refused_with_the_known_ones(api: Api) -> None:
    for sort in ("", "-", "--run_by", "id;", "Status", "district_id", "error_log_encrypted"):
        response = await api.get("/runs", params={"sort": sort})
        assert places(response) == [["query", "sort"]]
        message = response.json()["errors"][0]["msg"]
        assert "'scheduled_start', '-scheduled_start'" in message
        assert "'failure_code'" in message


async def test_parameters_are_in_the_document(api: Api) -> None:
    document = (await api.get("/openapi.json", role=None)).json()
    listed = {each["name"]: each for each in document["paths"]["/api/v1/runs"]["get"]["parameters"]}
    assert listed["sort"]["schema"]["default"] == "-scheduled_start"
    assert {"end", "-end", "run_by"} < set(listed["sort"]["schema"]["enum"])
    assert listed["scheduled_from"]["schema"]["anyOf"][0] == {"type": "string", "format": "date-time"}
    assert all(each["description"] for each in listed.values())


async def test_a_district_cannot_filter_by_what_is_encrypted(api: Api) -> None:
    for name in ("host", "username"):
        response = await api.get("/connection-events", params={name: "x"})
        assert places(response) == [["query", name]]


REFUSED_INSTANTS = {
    "2026-11-22T07:30:00": "add Z for UTC",
    "2026-11-22T07:30:00 05:00": "%2B",
    "2026-11-22T07:30:00.123 05:00": "%2B",
    "2026-11-22": "2026-11-22T07:30:00Z",
    "2026-11-22T07:30Z": "2026-11-22T07:30:00Z",
    "1790000000": "2026-11-22T07:30:00Z",
    "2026-02-30T07:30:00Z": "calendar",
    "2026-02-28T24:30:00Z": "calendar",
    "0001-01-01T00:00:00+14:00": "calendar",
    "9999-12-31T23:59:59-14:00": "calendar",
    "": "2026-11-22T07:30:00Z",
    "now\x00": "2026-11-22T07:30:00Z",
}


async def test_instants_that_are_refused(api: Api) -> None:
    for value, says in REFUSED_INSTANTS.items():
        response = await api.get("/runs", params={"scheduled_from": value})
        assert places(response) == [["query", "scheduled_from"]]
        assert says in response.json()["errors"][0]["msg"], value
    sent_bare = await api.get("/runs?scheduled_from=2026-11-22T07:30:00+05:00")
    assert "%2B" in sent_bare.json()["errors"][0]["msg"]


SPANS = {
    ("2026-11-22T07:30:00Z", "2026-11-22T07:30:00Z"): True,
    ("2026-11-22T02:30:00-05:00", "2026-11-22T09:30:00+02:00"): True,
    ("2026-11-22t07:30:00.000000z", "9999-12-31T23:59:59Z"): True,
    ("2026-11-22T07:30:00.000001Z", "2026-11-22T08:00:00Z"): False,
    ("0001-01-01T00:00:00Z", "2026-11-22T07:29:59.999999Z"): False,
}


async def test_both_ends_of_a_span_belong_to_it(api: Api) -> None:
    await add_run_at(api, AT)
    for (first, last), found in SPANS.items():
        response = await api.get("/runs", params={"scheduled_from": first, "scheduled_to": last})
        assert len(response.json()["items"]) == found, response.text


async def test_a_span_that_ends_before_it_begins(api: Api) -> None:
    for noun, span, first, last in (
        ("runs", "ended", "2026-11-22T07:30:01Z", "2026-11-22T07:30:00Z"),
        ("certifications", "expires", "2026-07-01", "2026-06-30"),
    ):
        response = await api.get(f"/{noun}", params={f"{span}_from": first, f"{span}_to": last})
        assert places(response) == [["query", f"{span}_to"]]
        assert f"{span}_from" in response.json()["errors"][0]["msg"]


async def test_values_that_are_refused(api: Api) -> None:
    wrong = {"status": "done", "late": "perhaps", "task_id": "1", "task_description": "", "run_by": "a\x00"}
    for name, value in wrong.items():
        assert places(await api.get("/runs", params={name: value}))[0][:2] == ["query", name]


async def test_refused_files_are_shown_on_demand_only(api: Api) -> None:
    await Seeds(api, Random(1)).add("import-files", 12)
    for asked, state in (({}, "retained"), ({"state": "quarantined"}, "quarantined")):
        items = (await api.get("/import-files", params=asked)).json()["items"]
        assert {item["state"] for item in items} == {state}
