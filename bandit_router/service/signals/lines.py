"""Signals in the background: each has its own line of waiting answers, and none is in the way.

A line is bounded: what comes when it is full is let pass unseen, and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from ...exceptions import InvalidInput
from ...types import Feedback, FeedbackStatus
from ..gateway import Answered

log = logging.getLogger(__name__)

Signal = Callable[[Answered], Awaitable[list[Feedback]]]
"""What looks at an answer and says something of a decision, or nothing."""

Tell = Callable[[Sequence[Feedback]], Awaitable[list[FeedbackStatus | Exception]]]
"""The way of all feedback, `Engine.feedback`."""

_LAST_SECONDS = 5.0


class Line:
    """One signal, and the answers that wait for it.

    Parameters
    ----------
    name
        For people.
    signal
        What looks at them.
    tell
        Takes what it says.
    size
        Answers that may wait.
    workers
        Answers looked at at once; 1 keeps their order.

    Attributes
    ----------
    counts
        Answers `seen`, `dropped` and `failed`, and words `told`.
    """

    def __init__(self, name: str, signal: Signal, tell: Tell, size: int, workers: int = 1) -> None:
        self.name = name
        self.signal = signal
        self.counts: Counter[str] = Counter()
        self._tell = tell
        self._queue: asyncio.Queue[Answered] = asyncio.Queue(size)
        self._workers = workers
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """How many answers wait."""
        return self._queue.qsize()

    def put(self, answered: Answered) -> None:
        """Let an answer wait, if there is room."""
        try:
            self._queue.put_nowait(answered)
        except asyncio.QueueFull:
            self.counts["dropped"] += 1

    def start(self) -> None:
        """Begin to look."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._work()) for _ in range(self._workers)]

    async def close(self, seconds: float = _LAST_SECONDS) -> None:
        """Look at what still waits, but not for long."""
        try:
            await asyncio.wait_for(self._queue.join(), seconds)
        except TimeoutError:
            log.warning("%d answers were not seen by the signal %r", self.waiting, self.name)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            answered = await self._queue.get()
            try:
                await self._look(answered)
            finally:
                self._queue.task_done()

    async def _look(self, answered: Answered) -> None:
        try:
            said = await self.signal(answered)
            statuses = await self._tell(said) if said else []
        except InvalidInput:  # a request of a form that cannot be read: nothing to say
            said, statuses = [], []
        except Exception as error:
            self.counts["failed"] += 1
            # Its message may quote a prompt.
            log.warning("the signal %r failed: %s", self.name, type(error).__name__)
            log.debug("the signal %r failed", self.name, exc_info=True)
            return
        self.counts["seen"] += 1
        for feedback, status in zip(said, statuses, strict=True):
            if isinstance(status, Exception):
                self.counts["failed"] += 1
                log.warning("%s of %s: %s", feedback.source, feedback.decision_id, status)
            else:
                self.counts["told"] += 1
