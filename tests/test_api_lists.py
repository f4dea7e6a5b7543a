"""Lists equal plain Python over the same rows, whatever is asked for and whatever happens meanwhile."""

from itertools import cycle
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.pages import SortOf
from app.api.schemas import queries
from tests.support.api import THERE, Api
from tests.support.list_model import PARAMETERS, TEXTS, Item, found_by, in_order, value_of
from tests.support.lists import NOUNS, Seeds
from tests.support.worlds import tried

QUERIES: dict[str, Any] = dict(
    zip(
        NOUNS,
        (
            queries.RunQuery,
            queries.TaskQuery,
            queries.CertificationQuery,
            queries.EndorsementQuery,
            queries.EmployeeQuery,
            queries.JobClassQuery,
            queries.ConnectionEventQuery,
            queries.ImportFileQuery,
        ),
        strict=True,
    )
)
KEY = {"employees": "employee_number", "job-classes": "code"}
WORDS = [
    "nightly",
    "ÉCOLE",
    "école",
    "0%",
    "e_1",
    "\\b",
    "[x]",
    "ñuñez",
    "succ",
    "no_file",
    "man",
    "2-05",
    "zzz",
]
CHANGES = 3
"""Rows that come and rows that go, in one walk through a list."""


def sorts(noun: str) -> list[str]:
    marker = QUERIES[noun].model_fields["sort"].metadata[0]
    assert isinstance(marker, SortOf)
    return marker.listing.sorts


async def fetch(api: Api, noun: str, **params: Any) -> dict[str, Any]:
    response = await api.get(f"/{noun}", params=params)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    if noun == "runs":
        for item in page["items"]:
            item["report"] = item["links"]["report_pdf"] is not None
    return page


async def everything(api: Api, noun: str, **params: Any) -> list[Item]:
    """Return the whole list, by pages of the biggest size."""
    page = await fetch(api, noun, limit=200, **params)
    assert page["next_cursor"] is None
    items: list[Item] = page["items"]
    return items


@pytest.mark.parametrize("noun", NOUNS)
async def test_pages_have_every_row_once_in_order_while_rows_come_and_go(api: Api, noun: str) -> None:
    seeds = Seeds(api, Random(noun))
    await seeds.add(noun, 8)
    for sort, limit in zip(sorts(noun), cycle((1, 2, 3)), strict=False):
        await walk(seeds, noun, sort, limit)


async def walk(seeds: Seeds, noun: str, sort: str, limit: int) -> None:
    key = KEY.get(noun, "id")
    stayed = {item[key] for item in await everything(seeds.api, noun)}
    seen: list[Item] = []
    params: dict[str, Any] = {"sort": sort, "limit": limit}
    changes = 0
    while params.get("cursor", "") is not None:
        page = await fetch(seeds.api, noun, **params)
        assert len(page["items"]) == limit or page["next_cursor"] is None
        seen += page["items"]
        params["cursor"] = page["next_cursor"]
        if changes < CHANGES and seeds.random.random() < 0.5:
            changes += 1
            await seeds.add(noun)
            stayed.discard(await seeds.remove(noun))
    keys = [item[key] for item in seen]
    assert len(set(keys)) == len(keys), (sort, limit)
    assert stayed <= set(keys), (sort, limit)
    assert seen == in_order(seen, noun, sort), (sort, limit)


def test_the_model_knows_every_parameter() -> None:
    for noun, query in QUERIES.items():
        own = set(query.model_fields) - {"limit", "cursor", "sort", "q"}
        listing = query.model_fields["sort"].metadata[0].listing
        assert own == set(listing.filters) == set(PARAMETERS[noun]), noun
        assert query().sort == listing.default


async def test_every_text_of_an_item_is_searched(api: Api, full: dict[str, list[Item]]) -> None:
    for noun, fields in TEXTS.items():
        items = [item for item in full[noun] if item.get("state") != "quarantined"]
        for text in {value_of(item, field) or "" for item in items for field in fields}:
            found = await everything(api, noun, q=text)
            expected = [item for item in items if found_by(item, noun, text)]
            assert in_order(found, noun, sorts(noun)[0]) == in_order(expected, noun, sorts(noun)[0]), text


@st.composite
def asked(draw: st.DrawFn) -> dict[str, Any]:
    """A noun, indexes of values for some of its parameters, keywords and a sort."""
    noun = draw(st.sampled_from(NOUNS))
    names = st.lists(st.sampled_from(sorted(PARAMETERS[noun])), max_size=3, unique=True)
    return {
        "noun": noun,
        "wanted": {name: draw(st.lists(st.integers(0, 9), min_size=1, max_size=2)) for name in draw(names)},
        "q": " ".join(draw(st.lists(st.sampled_from(WORDS), max_size=2))) if draw(st.booleans()) else "",
        "sort": draw(st.sampled_from(sorts(noun))),
        "limit": draw(st.integers(1, 6)),
    }


@pytest.fixture
async def full(api: Api) -> dict[str, list[Item]]:
    """Twenty rows of every noun in this district and in another; the items of this one by noun."""
    ours, theirs = Seeds(api, Random(1)), Seeds(api, Random(2), THERE)
    for noun in NOUNS:
        await ours.add(noun, 20)
        await theirs.add(noun, 20)
    items = {noun: await everything(api, noun) for noun in NOUNS}
    items["import-files"] += await everything(api, "import-files", state="quarantined")
    for noun in NOUNS:
        keys = {item[KEY.get(noun, "id")] for item in items[noun]}
        assert keys >= set(ours.rows[noun])
        assert not keys & set(theirs.rows[noun])
    return items


@given(query=asked())
@tried(150)
async def test_any_query_equals_the_model(
    api: Api, full: dict[str, list[Item]], query: dict[str, Any]
) -> None:
    noun, items = query["noun"], full[query["noun"]]
    filters: dict[str, list[str]] = {"state": ["retained"]} if noun == "import-files" else {}
    for name, indexes in query["wanted"].items():
        parameter = PARAMETERS[noun][name]
        known = parameter.values(items)
        if known:
            values = [known[index % len(known)] for index in indexes]
            filters[name] = values if parameter.many else values[:1]
    for name in [name for name in filters if name.endswith("_to")]:
        lower = filters.get(name.removesuffix("to") + "from")
        if lower and lower > filters[name]:
            lower[:], filters[name][:] = filters[name], lower
    expected = [
        item
        for item in items
        if found_by(item, noun, query["q"])
        and all(PARAMETERS[noun][name].holds(item, wanted) for name, wanted in filters.items())
    ]
    params = {**filters, "q": query["q"], "sort": query["sort"], "limit": query["limit"]}
    found: list[Item] = []
    while params.get("cursor", "") is not None:
        page = await fetch(api, noun, **params)
        found += page["items"]
        params["cursor"] = page["next_cursor"]
    assert found == in_order(expected, noun, query["sort"])
