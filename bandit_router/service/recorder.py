"""The one way of writing: made on the event loop, folded at once, awaited until it is on disk.

What is made one after another is handed to the writer together. If it cannot be written
the router has folded what never happened: it is thrown away, with all that was made after it.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec

from ..accounts import Terms
from ..router import Router
from ..store import Log, Writer
from .batch import Batch
from .errors import Unavailable
from .gathering import gather

T = TypeVar("T")
MAX_PENDING = 8_000
"""Events that may wait for the disk before requests are refused.

Less than the writer's own limit by more than one request can add: what has been folded must be
taken.
"""


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """How old a copy of the state is.

    Parameters
    ----------
    stale
        Whether it is too old, or nobody learns: decisions go on, from what was known then.
    age_s
        How long ago it was the state of the log; None: that is not known yet.
    pending
        Events that wait for the database.
    reason
        Why it is stale.
    """

    stale: bool
    age_s: float | None
    pending: int
    reason: str | None = None


class Recorder(ABC):
    """A router, and the one way of writing down what it says.

    Parameters
    ----------
    writer
        Takes the events, in order; closed with this.
    """

    def __init__(self, writer: Writer) -> None:
        self.failure: str | None = None
        self.doing = "the event log is being folded"  # what there is to wait for
        self._writer = writer
        self._router: Router | None = None
        self._folded = asyncio.Event()
        self._open: Batch | None = None  # what has been made since the last was handed over
        self._last: Batch | None = None  # made last
        self._tasks: set[asyncio.Task[None]] = set()
        self.listeners: list[Callable[[Batch], None]] = []  # told of what is on disk

    @property
    @abstractmethod
    def store(self) -> Log:
        """The log, to read from."""

    @abstractmethod
    async def close(self) -> None:
        """Write what is pending and what a restart goes on from, and close the files."""

    @abstractmethod
    def start(self) -> None:
        """Begin to stand for the log, in the background."""

    @abstractmethod
    async def know(self, decision_ids: Sequence[str]) -> None:
        """Look decisions up that the router could not find by itself."""

    async def tell_keys(self, terms: dict[str, Terms]) -> None:
        """Let the log know of the API keys in use, if they are others than it knows."""
        if (await self.wait()).accounts.terms != terms:

            def make(batch: Batch) -> None:
                if batch.router.accounts.terms != terms:
                    batch.change("keys", {"keys": terms})

            await self.write(make)

    def freshness(self) -> Freshness | None:
        """Return how old the router's state is, if it is a copy; None where it is the state."""
        return None

    @property
    def router(self) -> Router:
        """The router, to read from.

        Raises
        ------
        Unavailable
            While code is compiled and the log folded, or if that cannot be.
        """
        if self._router is None:
            raise Unavailable(self.failure or self.doing)
        return self._router

    async def wait(self) -> Router:
        """Return the router as soon as the log has been folded."""
        if self._router is None:
            await self._folded.wait()
        return self.router

    async def write(self, make: Callable[[Batch], T]) -> T:
        """Let `make` add events, and return its result when they are on disk.

        Raises
        ------
        StoreError
            If they cannot be written: nothing has happened then.
        Unavailable
            If the log is not folded, or too much waits for the disk.
        """
        await self.wait()
        result, batch = self.begin(make)
        await batch
        return result

    def begin(self, make: Callable[[Batch], T]) -> tuple[T, Batch]:
        """Let `make` add events at once; what it returns, and what to await until they are on disk.

        What is folded is written, also if nobody awaits it. What changed nothing (a duplicate)
        answers for what came before it, which may not be on disk yet.

        Raises
        ------
        Unavailable
            If the log is not folded, or too much waits for the disk.
        """
        router = self.router
        batch = self._open or self._batch(router)
        before = len(batch.events)
        if self._writer.pending + before >= MAX_PENDING:
            raise Unavailable(f"{MAX_PENDING:,} events wait for the disk already")
        batch.time = time.time()
        try:
            result = make(batch)
        except Exception as error:
            if len(batch.events) > before:  # folded in part
                self._fail(batch, error)
            raise
        if not batch.events:
            if self._last is not None:
                return result, self._last
            batch.settle()
        elif self._open is None:
            self._open = self._last = batch
            gather(lambda: len(batch.events), self._hand_over)
        return result, batch

    # -- inside -----------------------------------------------------------------------------

    @abstractmethod
    def _batch(self, router: Router) -> Batch:
        """Return what the events of a write are made in."""

    @abstractmethod
    def _made(self, batch: Batch) -> None:
        """Add to a batch what belongs to the state it has led to."""

    @abstractmethod
    def _written_down(self, batch: Batch) -> None:
        """Go on from a batch that is on disk now."""

    @abstractmethod
    def _lose(self, router: Router, error: BaseException) -> None:
        """Throw the router away: it has folded what is not on disk."""

    def _hand_over(self) -> None:
        """Give what has been made to the writer."""
        batch, self._open = self._open, None
        if batch is None:  # lost, or handed over already
            return
        loop = asyncio.get_running_loop()

        def done(written: Future[None]) -> None:
            loop.call_soon_threadsafe(self._settle, batch, written.exception())

        try:
            self._made(batch)
            self._writer.submit(batch.rows).add_done_callback(done)
        except Exception as error:
            self._fail(batch, error)

    def _settle(self, batch: Batch, error: BaseException | None) -> None:
        if error is not None:
            self._fail(batch, error)
            return
        self._written_down(batch)
        batch.settle()
        for tell in self.listeners:
            tell(batch)

    def _fail(self, batch: Batch, error: BaseException) -> None:
        """Tell those who wait that nothing of a batch was recorded, nor of what was made since."""
        later, self._open, self._last = self._open, None, None
        for lost in (batch, later):
            if lost is not None:
                lost.settle(error)
        self._lose(batch.router, error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
