"""Doing work of one kind in a row: what comes in one after another is done together.

It finds its code and tables in the processor's caches, and the disk is asked less often. Under
load that takes a fifth off what a request costs; who asks alone waits for one more turn of the
event loop, some microseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

ENOUGH = 64
"""With so many to do, no more are waited for."""


def gather(count: Callable[[], int], work: Callable[[], None]) -> None:
    """Call `work` as soon as a turn of the event loop has brought no more to do.

    Parameters
    ----------
    count
        How much there is to do.
    """
    asyncio.get_running_loop().call_soon(_look, count, work, 0)


def _look(count: Callable[[], int], work: Callable[[], None], before: int) -> None:
    now = count()
    if before < now < ENOUGH:
        asyncio.get_running_loop().call_soon(_look, count, work, now)
    else:
        work()
