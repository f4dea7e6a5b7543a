"""Cursors: each is for one list with one sort and one set of filters, and garbage is refused in words."""

import base64
import json
from random import Random
from typing import Any

import pytest

from tests.support.api import Api, places, problem
from tests.support.lists import NOUNS, Seeds, add_titles, titles

LISTS = {
    "runs": ["-scheduled_start", "phase", "-actual_start", "late", "progress", "failure_code"],
    "tasks": ["time", "-scheduled_start_date"],
    "certifications": ["id"],
    "import-files": ["-datestamp", "size"],
}
"""Sorts by every type of column, with nulls and without."""
VALUES: list[Any] = [
    *(None, True, 1, 2**63 - 1, 2**63, 10**400, 1.5, float("nan"), [1], {}),
    *("x", "\x00", "\ud800", "infinity", "2026-11-22T07:30:00", "9999-12-31"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "24:00", "23:59:59.999999+14:00"),
]


def opened(cursor: str) -> list[Any]:
    values: list[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return values


def sealed(values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


async def test_a_cursor_is_for_one_question(api: Api) -> None:
    await add_titles(api, "a", "b", "a")
    question = {"sort": "-title", "q": "c", "certification_required": "false"}
    cursor = (await api.get("/job-classes", params={**question, "limit": 1})).json()["next_cursor"]
    same = {**question, "cursor": cursor}
    assert await titles(api, **same) == ["a", "a"]
    assert await titles(api, **same | {"limit": 1, "q": " c"}) == ["a"]
    for other in (
        {"sort": "title"},
        {"q": "C"},
        {"q": ""},
        {"certification_required": "true"},
        {"code": "x"},
    ):
        response = await api.get("/job-classes", params=same | other)
        assert places(response) == [["query", "cursor"]]
        assert "begin without one" in problem(response, 422, "validation-failed")["detail"]
    unfiltered = {name: value for name, value in same.items() if name != "certification_required"}
    assert places(await api.get("/job-classes", params=unfiltered)) == [["query", "cursor"]]
    assert places(await api.get("/employees", params={"cursor": cursor})) == [["query", "cursor"]]


async def test_the_default_sort_may_be_named(api: Api) -> None:
    await add_titles(api, "a", "b")
    cursor = (await api.get("/job-classes", params={"limit": 1})).json()["next_cursor"]
    assert await titles(api, cursor=cursor, sort="code") == ["b"]


@pytest.mark.parametrize("noun", LISTS)
async def test_a_cursor_of_somebodys_own_is_answered_or_refused(api: Api, noun: str) -> None:
    await Seeds(api, Random(3)).add(noun, 6)
    refused = 0
    for sort in LISTS[noun]:
        page = (await api.get(f"/{noun}", params={"limit": 1, "sort": sort})).json()
        good = opened(page["next_cursor"])
        # The last is the key, as in every other sort; the first was made for another question.
        changed = range(1, len(good) if sort == "id" else len(good) - 1)
        wrong = [[*good[:at], value, *good[at + 1 :]] for at in changed for value in VALUES]
        for values in (*wrong, ["", *good[1:]], good[:-1], [*good, 1]):
            response = await api.get(f"/{noun}", params={"sort": sort, "cursor": sealed(values)})
            if response.status_code != 200:
                assert places(response) == [["query", "cursor"]], (sort, values)
                refused += 1
    assert refused


NO_CURSORS = [
    "",
    "\u00fc",
    "x",
    sealed(None),
    sealed({}),
    sealed([]),
    sealed(1),
    base64.urlsafe_b64encode(b"[[[[").decode(),
    base64.urlsafe_b64encode(b"\xff").decode(),
    base64.urlsafe_b64encode(b"[" * 3000).decode(),
    "x" * 4097,
]


@pytest.mark.parametrize("noun", NOUNS)
async def test_bad_cursors(api: Api, noun: str) -> None:
    for cursor in NO_CURSORS:
        assert places(await api.get(f"/{noun}", params={"cursor": cursor})) == [["query", "cursor"]]
