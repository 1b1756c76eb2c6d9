"""Places are handed out in order, never too many, and fewer when the endpoint says so."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from factory.errors import EngineError
from factory.pairs.pace import SUCCESSES, Pace


def run(story: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(story, 10)

    asyncio.run(bounded())


async def turns() -> None:
    """Let everything that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_burst_of_refusals_is_one_refusal() -> None:
    async def story() -> None:
        pace = Pace(8, pause=0.001)
        entered = [await pace.enter() for _ in range(8)]
        for when in entered:
            pace.limited(when, None)
        assert pace.limit == 6
        for when in entered:
            pace.limited(when, 0.001)
            pace.leave()
        assert pace.limit == 6
        pace.limited(await pace.enter(), None)
        assert pace.limit == 4.5

    run(story())


def test_never_below_one_and_back_to_the_start_after_many_answers() -> None:
    async def story() -> None:
        pace = Pace(3, pause=0.001)
        for _ in range(8):
            pace.limited(await pace.enter(), None)
            pace.leave()
        assert pace.limit == 1
        for number in range(1, 4 * SUCCESSES):
            pace.succeeded()
            assert pace.limit == min(3, 1 + number // SUCCESSES)

    run(story())


def test_pauses_grow_while_nothing_is_answered() -> None:
    async def story() -> None:
        pace = Pace(1, pause=0.01)
        waits = []
        for _ in range(4):
            waits.append(pace.limited(await pace.enter(), None))
            pace.leave()
        assert waits[3] > waits[1] and waits[2] > waits[0]
        await pace.enter()
        pace.succeeded()
        pace.leave()
        assert pace.limited(await pace.enter(), None) <= 0.01

    run(story())


def test_first_come_first_served() -> None:
    async def story() -> None:
        pace, order = Pace(1, pause=1.0), []

        async def work(name: int) -> None:
            await pace.enter()
            order.append(name)
            await turns()
            pace.leave()

        await asyncio.gather(*map(work, range(9)))
        assert order == list(range(9))

    run(story())


@pytest.mark.parametrize("late", [False, True])
def test_a_place_is_not_lost_with_who_was_to_get_it(late: bool) -> None:
    async def story() -> None:
        pace = Pace(1, pause=1.0)
        await pace.enter()
        gone, next_ = asyncio.create_task(pace.enter()), asyncio.create_task(pace.enter())
        await turns()
        if late:  # it has the place already, and does not know it yet
            pace.leave()
            gone.cancel()
        else:
            gone.cancel()
            pace.leave()
        await asyncio.gather(gone, return_exceptions=True)
        await next_
        pace.leave()
        assert pace.active == 0

    run(story())


def test_stop_reaches_those_who_wait_and_those_who_come() -> None:
    async def story() -> None:
        pace = Pace(1, pause=1.0)
        await pace.enter()
        waiting = asyncio.create_task(pace.enter())
        await turns()
        pace.stop(EngineError("over"))
        pace.stop(EngineError("later"))
        for late in (waiting, pace.enter()):
            with pytest.raises(EngineError, match="over"):
                await late

    run(story())
