"""Chores go from one district to the next, and one district's fault keeps no other waiting."""

import time
from typing import Any

from app.factory import Factory
from app.services.chores import for_each_district
from tests.support.imports import DISTRICT, add_district


async def test_what_goes_wrong_with_one_district_keeps_no_other_waiting(
    factory: Factory, logs: list[Any]
) -> None:
    await add_district(factory, "a-first")
    name = "Ann"
    seen: list[str] = []

    async def chore(district_id: str) -> None:
        seen.append(district_id)
        if district_id == "a-first":
            raise ValueError(name)

    await for_each_district(factory.database, chore)
    assert seen == ["a-first", DISTRICT]
    [told] = [log for log in logs if log["event"] == "chore_failed"]
    assert told["district"] == "a-first"
    assert "Ann" not in str(told)


async def test_no_other_is_begun_when_the_time_is_over(factory: Factory, logs: list[Any]) -> None:
    await add_district(factory, "a-first")
    seen: list[str] = []

    async def chore(district_id: str) -> None:
        seen.append(district_id)

    await for_each_district(factory.database, chore, time.monotonic())
    assert seen == ["a-first"]
    assert [log["done"] for log in logs if log["event"] == "chore_goes_on"] == [1]
