"""What an event says was before is what the change replaced, though others changed it just before."""

import asyncio
import json
from pathlib import Path

from app.factory import Factory
from tests.support.audit import trail
from tests.support.imports import DISTRICT

LAYOUT = Path("app/layouts/vt_alis.toml").read_text(encoding="utf-8")


async def test_pausing_many_times_at_once_is_one_event(factory: Factory) -> None:
    await asyncio.gather(*(factory.districts.pause(DISTRICT) for _ in range(4)))
    await asyncio.gather(*(factory.districts.resume(DISTRICT) for _ in range(4)))
    assert [each.action for each in await trail(factory)] == ["paused", "resumed"]


async def test_layouts_set_at_once_follow_each_other(factory: Factory) -> None:
    wanted = [f"{LAYOUT}\n# {number}\n" for number in range(4)]
    await asyncio.gather(*(factory.districts.set_layout(DISTRICT, toml) for toml in wanted))
    told = [json.loads(each.content) for each in await trail(factory)]
    replaced = {each["before"]["layout"] for each in told}
    assert len(replaced) == len(told) == 4, "each replaced another"
