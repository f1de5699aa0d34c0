"""What comes in one after another is done together, and who is alone does not wait."""

from __future__ import annotations

import asyncio

from bandit_router.service.gathering import ENOUGH, gather


async def done(arriving: list[int]) -> int:
    """Return how much there was to do when it was done, as much arriving turn by turn."""
    waiting: list[int] = []
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    gather(lambda: len(waiting), lambda: found.set_result(len(waiting)))
    for count in arriving:
        waiting += [0] * count
        await asyncio.sleep(0)
    return await found


async def test_what_every_turn_brings_more_of_is_done_at_the_first_that_brings_none() -> None:
    assert await done([1]) == 1
    assert await done([3, 2, 1]) == 6
    assert await done([3, 2, 0, 5]) == 5


async def test_no_more_is_waited_for_than_is_worth_it() -> None:
    assert await done([ENOUGH // 2] * 4) == ENOUGH
