"""The router, its event log and the one way of writing to both.

A write makes events on the event loop and folds them at once, so that the next request sees
them; they go to the writer; the caller is answered when they are on disk. If they cannot be
written the router has folded what never happened: it is thrown away and folded anew from the
log, and requests are refused until it stands again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec

from .. import codec
from ..accounts import Terms
from ..config import Config
from ..embedding import Embedder
from ..exceptions import InvalidInput, StoreError, UnknownDecision
from ..fold import FOLD_VERSION
from ..policies import Outside
from ..router import Router
from ..store import EventStore, Log, Writer
from ..types import Decision, Event, Feedback, FeedbackStatus, LineageEvent, Request
from .configured import configured, fresh
from .errors import Refused, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
_CLOCK_SECONDS = 60.0
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


class Batch:
    """Events of one write, folded as they are made."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.time = time.time()  # the router never lets it run back
        self.events: list[Event] = []
        self.lineage: list[LineageEvent] = []
        self.failed: list[str] = []  # strategies beside the live one
        self.snapshot: tuple[int, bytes, bool] | None = None  # the last: whether it is enough

    def add(self, event: Event) -> None:
        """Fold `event`."""
        self.events.append(event)
        self.lineage.extend(self.router.apply(event))
        failures = self.router.strategies.failures
        while failures:
            self._fails(*failures.popleft())

    def decide(self, text: str | None, vector: Any, request: Request, outside: Outside) -> Decision:
        """Choose a model, and fold that."""
        decision = self.router.decide(
            text,
            vector=vector,
            request=request,
            time=self.time,
            decision_id=secrets.token_urlsafe(16),
            new_id=True,
            outside=outside,
        )
        self.add(decision)
        self.tell_failures(decision)
        if text is not None and decision.prompt is None:
            self.router.read(decision, text)
        return decision

    def judge(
        self, item: Feedback | Exception, key: str | None, *, signed: bool
    ) -> FeedbackStatus | Exception:
        """Fold a feedback that counts, and return what it is, or why it cannot be used.

        Parameters
        ----------
        key, signed
            See `Engine.feedback`.
        """
        if isinstance(item, Exception):
            return item
        try:
            owner = self.router.history(item.decision_id).decision.request.key
            if not signed and owner not in (None, key):
                message = "another key made this decision: only it may judge"
                return Refused(403, message, "decision_id")
            status, event = self.router.judge(item, time=self.time)
        except (InvalidInput, UnknownDecision) as error:
            return error
        if event is not None:
            self.add(event)
        return status

    def tell_failures(self, decision: Decision) -> None:
        """Log and count the strategies that failed beside the one that decided."""
        for shadow in decision.shadows:
            if shadow.error is not None:
                self._fails(shadow.strategy, shadow.error)

    def _fails(self, strategy: str, error: object) -> None:
        self.failed.append(strategy)
        log.warning("the strategy %r failed beside the live one: %s", strategy, error)


class Recorder(ABC):
    """A router, and the one way of writing down what it says.

    Parameters
    ----------
    writer
        Takes the events, in order; closed with this.
    """

    def __init__(self, writer: Writer) -> None:
        self.failure: str | None = None
        self._writer = writer
        self._router: Router | None = None
        self._folded = asyncio.Event()
        self._done: deque[tuple[Batch, Future[None], asyncio.Future[None]]] = deque()
        self._woken = False
        self._last: asyncio.Future[None] | None = None  # of the write that was begun last
        self._tasks: set[asyncio.Task[None]] = set()
        self.listeners: list[Callable[[Batch], None]] = []  # told of what is on disk

    @property
    @abstractmethod
    def store(self) -> Log:
        """The log, to read from."""

    @abstractmethod
    def _batch(self, router: Router) -> Batch:
        """Return what the events of a write are made in."""

    @abstractmethod
    def _lose(self, router: Router, error: BaseException) -> None:
        """Throw the router away: it has folded what is not on disk."""

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
                    batch.add(batch.router.change("keys", {"keys": terms}, time=batch.time))

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
            While the log is being folded, or if it cannot be.
        """
        if self._router is None:
            raise Unavailable(self.failure or "the event log is being folded")
        return self._router

    async def wait(self) -> Router:
        """Return the router as soon as the log has been folded."""
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
        result, done = self.begin(make)
        # What is folded is written, also if the caller has gone. What changed nothing (a
        # duplicate) answers for what came before it, which may not be on disk yet.
        if (due := done or self._last) is not None:
            await asyncio.shield(due)
        return result

    def begin(self, make: Callable[[Batch], T]) -> tuple[T, asyncio.Future[None] | None]:
        """Let `make` add events at once; what it returns, and what is done when they are on disk.

        Raises
        ------
        Unavailable
            If the log is not folded, or too much waits for the disk.
        """
        router = self.router
        if self._writer.pending >= MAX_PENDING:
            raise Unavailable(f"{MAX_PENDING:,} events wait for the disk already")
        batch = self._batch(router)
        try:
            result = make(batch)
            done = self._submit(batch) if batch.events else None
        except Exception as error:
            if batch.events:
                self._lose(router, error)
            raise
        return result, done

    # -- inside -----------------------------------------------------------------------------

    @abstractmethod
    def _made(self, batch: Batch) -> None:
        """Add to a batch what belongs to the state it has led to."""

    @abstractmethod
    def _written_down(self, batch: Batch) -> None:
        """Go on from a batch that is on disk now."""

    def _submit(self, batch: Batch) -> asyncio.Future[None]:
        self._made(batch)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        written = self._writer.submit(batch.events, batch.lineage)
        self._last = done
        written.add_done_callback(lambda future: self._written(loop, batch, future, done))
        return done

    def _written(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Batch,
        written: Future[None],
        done: asyncio.Future[None],
    ) -> None:
        """Take what the writer's thread has done; a whole group wakes the event loop once."""
        self._done.append((batch, written, done))
        if not self._woken:
            self._woken = True
            loop.call_soon_threadsafe(self._settle_all)

    def _settle_all(self) -> None:
        self._woken = False  # before the first is taken: what comes later wakes again
        while self._done:
            self._settle(*self._done.popleft())

    def _settle(self, batch: Batch, written: Future[None], done: asyncio.Future[None]) -> None:
        error = written.exception()
        if error is None:
            self._written_down(batch)
            done.set_result(None)
            for tell in self.listeners:
                tell(batch)
            return
        self._lose(batch.router, error)
        done.set_exception(StoreError(f"nothing was recorded: {error}"))
        done.exception()  # seen, also if the caller has gone

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Journal(Recorder):
    """The router as the log stands for it, and the log as the router goes on.

    Parameters
    ----------
    store
        Open for writing; closed with the journal.
    config
        Settings and models; checked here.
    embedder
        For the router.
    """

    def __init__(self, store: EventStore, config: Config, embedder: Embedder | None) -> None:
        fresh(store, config, embedder)
        super().__init__(Writer(store))
        self._store = store
        self._config = config
        self._embedder = embedder
        self._snapshot_seq = 0

    @property
    def store(self) -> EventStore:
        """The log, to read from."""
        return self._store

    def start(self) -> None:
        """Begin to fold the log, in the background."""
        self._spawn(self._fold())

    async def know(self, decision_ids: Sequence[str]) -> None:
        """Do nothing: the router looks into the log itself."""

    async def close(self) -> None:
        """Write what is pending and a snapshot, and close the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._writer.close)
        router = self._router
        if router is not None and router.seq > self._snapshot_seq:
            with contextlib.suppress(StoreError):  # a snapshot is a cache, the log is complete
                self._save(router.seq, router.snapshot(), router.restorable)
        self.store.close()

    async def forget(self, checkpoint: int, compact: Callable[[EventStore, int], int]) -> int:
        """Let `compact` drop the events up to a snapshot; return how many it dropped.

        Meanwhile nothing may be said of the decisions among them: what is said is either on disk
        by then, so that its decision is kept, or finds no decision.
        """
        router = await self.wait()
        router.forget_until(checkpoint)
        await asyncio.to_thread(self._writer.flush)
        try:
            return await asyncio.to_thread(compact, self._store, checkpoint)
        finally:
            router.forget_until(0)

    def _batch(self, router: Router) -> Batch:
        return Batch(router)

    def _made(self, batch: Batch) -> None:
        router, every = batch.router, self._config.settings.store.snapshot_every
        if router.seq - self._snapshot_seq >= every:
            batch.snapshot = (router.seq, router.snapshot(), router.restorable)
            self._snapshot_seq = router.seq

    def _written_down(self, batch: Batch) -> None:
        if batch.snapshot is not None:
            self._spawn(self._saved(*batch.snapshot))

    async def _saved(self, seq: int, body: bytes, whole: bool) -> None:
        try:
            await asyncio.to_thread(self._save, seq, body, whole)
        except StoreError as error:
            log.warning("no snapshot of event %d, the log is complete: %s", seq, error)

    def _save(self, seq: int, body: bytes, whole: bool) -> None:
        """Keep a snapshot; of one that is not enough to go on from only the digest."""
        kept = body if whole else None
        self.store.save_snapshot(seq, kept, codec.digest(body), FOLD_VERSION)

    def _lose(self, router: Router, error: BaseException) -> None:
        """Throw the router away: it has folded what is not on disk."""
        if self._router is not router:
            return  # done already
        log.error("folding the log anew: a write failed: %s", error)
        self._router = None
        self._last = None  # what was lost has been told to those who asked for it
        self._spawn(self._fold(again=True))

    async def _fold(self, *, again: bool = False) -> None:
        """Make the router from the log; again and again, if it once stood already."""
        delay = 1.0
        while True:
            try:
                self._router = await asyncio.to_thread(self._restored)
                self.failure = None
                break
            except Exception as error:
                log.exception("the event log cannot be folded")
                self.failure = f"the event log cannot be folded: {error}"
                if not again:
                    break
                await asyncio.sleep(delay)
                delay = min(30.0, 2 * delay)
        self._folded.set()

    def _restored(self) -> Router:
        self._writer.reset()
        found = self.store.latest_snapshot()
        self._snapshot_seq = found.seq if found else 0
        router = configured(self.store, self._config, self._embedder)
        if any(known.fold_version != FOLD_VERSION for known in self.store.snapshots()):
            self.store.drop_stale(FOLD_VERSION)
            self._save(router.seq, router.snapshot(), router.restorable)
            self._snapshot_seq = router.seq
        if (ahead := router.time - time.time()) > _CLOCK_SECONDS:
            log.warning("the clock is %.0f s behind the log, whose time stands till then", ahead)
        return router
