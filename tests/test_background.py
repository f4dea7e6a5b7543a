"""Work beside other work ends with it, also when its cancellation gets lost."""

import asyncio

import pytest

from app import background
from app.background import in_background


async def test_it_runs_while_the_body_does_and_ends_with_it() -> None:
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    async with asyncio.timeout(20):
        async with in_background(work()):
            while rounds < 3:
                await asyncio.sleep(0)
    seen = rounds
    await asyncio.sleep(0.01)
    assert rounds == seen


async def test_a_cancellation_that_got_lost_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `asyncio.wait_for` of Python 3.11 does with one that comes together with its result."""
    monkeypatch.setattr(background, "CANCEL_AGAIN", 0.01)
    lost = 0

    async def work() -> None:
        nonlocal lost
        while lost < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
        await asyncio.sleep(60)

    async with asyncio.timeout(20):
        async with in_background(work()):
            await asyncio.sleep(0)
    assert lost == 2


async def test_what_the_body_raises_is_passed_on() -> None:
    with pytest.raises(LookupError):
        async with in_background(asyncio.sleep(60)):
            raise LookupError
