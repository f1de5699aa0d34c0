"""What comes in one after another is done together, and who is alone does not wait."""

from __future__ import annotations

import asyncio
import gc
import weakref

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


async def test_nothing_of_it_is_left_for_the_garbage_collector() -> None:
    class Work:
        def done(self) -> None:
            return

    gc.disable()
    try:
        work = Work()
        left = weakref.ref(work)
        gather(lambda: 1, work.done)
        del work
        for _ in range(3):
            await asyncio.sleep(0)
        assert left() is None
    finally:
        gc.enable()
