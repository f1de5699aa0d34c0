"""The one object that owns the router, the event log and its writer.

Every write takes the same way: on the event loop the router makes events and folds them at
once, so that the next request sees them; they go to the writer; the caller is answered when
they are on disk. If they cannot be written the router has folded what never happened: it is
thrown away and folded anew from the log, and requests are refused until it stands again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from .. import codec
from ..config import Config
from ..embedding import Embedder, SentenceTransformerEmbedder
from ..exceptions import InvalidInput, StoreError, UnknownDecision
from ..router import FOLD_VERSION, OWN_VECTORS, Router
from ..store import EventStore, Writer
from ..types import (
    Decision,
    Event,
    Feedback,
    FeedbackStatus,
    LineageEvent,
    Outcome,
    Request,
)
from .demo import DemoFleet
from .demo.fleet import SOURCE
from .encoder import Encoder
from .errors import Unavailable
from .restore import fresh, restore
from .wire import Demo

log = logging.getLogger(__name__)

T = TypeVar("T")
MAX_PENDING = 8_000
"""Events that may wait for the disk before requests are refused.

Less than the writer's own limit by more than one request can add: what has been folded must be
taken.
"""


class Batch:
    """Events of one write, folded as they are made."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.time = time.time()  # the router never lets it run back
        self.events: list[Event] = []
        self.lineage: list[LineageEvent] = []
        self.snapshot: tuple[int, bytes] | None = None

    def add(self, event: Event) -> None:
        """Fold `event`."""
        self.events.append(event)
        self.lineage.extend(self.router.apply(event))


class Engine:
    """Routes and learns, and keeps both on disk.

    Parameters
    ----------
    config
        Settings and models.
    store
        The open event log; the engine closes it.
    embedder
        None for the one that the settings name.
    fleet
        Answers in process, in demo mode.
    """

    def __init__(
        self,
        config: Config,
        store: EventStore,
        *,
        embedder: Embedder | None = None,
        fleet: DemoFleet | None = None,
    ) -> None:
        embedder = embedder or _embedder(config)
        self.config = config if embedder is None else _named(config, embedder.name)
        self.encoder = Encoder(embedder) if embedder else None
        self.failure: str | None = None
        self.store = store
        self._fleet = fleet
        self._writer = Writer(store)
        self._router: Router | None = None
        self._folded = asyncio.Event()
        self._snapshot_seq = 0
        self._tasks: set[asyncio.Task[None]] = set()
        fresh(store, self.config, embedder)

    @classmethod
    def open(
        cls, config: Config, db: Path, *, embedder: Embedder | None = None, demo: bool = False
    ) -> Engine:
        """Open the database and check the configuration.

        Raises
        ------
        StoreError
            If the database cannot be opened; `StoreHeld` if another process writes to it.
        ConfigError
            If a setting or a model cannot be used.
        """
        store = EventStore.open(db)
        try:
            return cls(config, store, embedder=embedder, fleet=DemoFleet() if demo else None)
        except BaseException:
            store.close()
            raise

    # -- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to fold the log and to load the encoder, in the background."""
        self._spawn(self._fold())
        if self.encoder is not None:
            self._spawn(self.encoder.start())

    async def close(self) -> None:
        """Write what is pending and a snapshot, and close the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.encoder is not None:
            self.encoder.close()
        await asyncio.to_thread(self._writer.close)
        router = self._router
        if router is not None and router.restorable and router.seq > self._snapshot_seq:
            with contextlib.suppress(StoreError):  # a snapshot is a cache, the log is complete
                self._save(router.seq, router.snapshot())
        self.store.close()

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

    def check_ready(self) -> Router:
        """Return the router if every request can be answered at once.

        Raises
        ------
        Unavailable
            Saying what is missing.
        """
        router = self.router
        if self.encoder is not None and not self.encoder.warm:
            raise Unavailable(self.encoder.failure or "the encoder is being loaded")
        return router

    async def wait(self) -> Router:
        """Return the router as soon as the log has been folded."""
        await self._folded.wait()
        return self.router

    # -- requests ---------------------------------------------------------------------------

    async def route(
        self,
        text: str | None = None,
        *,
        meaning: str | None = None,
        vector: Sequence[float] | None = None,
        request: Request | None = None,
    ) -> tuple[Decision, Demo | None]:
        """Choose a model; the decision is on disk when this returns.

        Parameters
        ----------
        text
            The whole prompt.
        meaning
            What of it is embedded; None: all of it.
        vector
            Its embedding, if the caller has one.

        Returns
        -------
        tuple
            The decision, and what the demo fleet answered if there is one.
        """
        router = await self.wait()
        found: Any = vector
        if found is None and (router.policy.needs_vector or self._fleet):
            if self.encoder is None:
                raise InvalidInput(
                    "this router has no embedder: give the embedding of the prompt", "embedding"
                )
            found = await self.encoder.embed(meaning or text or "")

        def make(batch: Batch) -> tuple[Decision, Demo | None]:
            decision = batch.router.decide(
                text,
                vector=found,
                request=request,
                time=batch.time,
                decision_id=secrets.token_urlsafe(16),
            )
            batch.add(decision)
            return decision, self._play(batch, decision)

        return await self._write(make)

    async def feedback(
        self, items: Sequence[Feedback | Exception]
    ) -> list[FeedbackStatus | Exception]:
        """Judge each feedback in order; what counts is on disk when this returns.

        An item that is an exception already, or that cannot be used, stays one in its place.
        """

        def make(batch: Batch) -> list[FeedbackStatus | Exception]:
            return [_judge(batch, item) for item in items]

        return await self._write(make)

    async def change(
        self, what: Literal["model_set", "model_removed"], body: Callable[[Router], dict[str, Any]]
    ) -> None:
        """Set or remove an arm, `body` being made of the router as it then is."""

        def make(batch: Batch) -> None:
            batch.add(batch.router.change(what, body(batch.router), time=batch.time))

        await self._write(make)

    def _play(self, batch: Batch, decision: Decision) -> Demo | None:
        """Let the demo fleet answer, and fold what it observed."""
        vector = decision.embedding()
        if self._fleet is None or vector is None:
            return None
        answer = self._fleet.answer(vector, decision.model)
        if answer is None:
            return None
        observed = Outcome(
            seq=0,
            time=0.0,
            decision_id=decision.decision_id,
            model=decision.model,
            cost_usd=answer.cost_usd,
        )
        batch.add(batch.router.outcome(observed, time=batch.time))
        said = Feedback(decision_id=decision.decision_id, reward=answer.quality, source=SOURCE)
        _judge(batch, said)
        return answer

    # -- writing ----------------------------------------------------------------------------

    async def _write(self, make: Callable[[Batch], T]) -> T:
        """Let `make` fold events, and return its result when they are on disk."""
        await self._folded.wait()
        if self._writer.pending >= MAX_PENDING:
            raise Unavailable(f"{MAX_PENDING:,} events wait for the disk already")
        batch = Batch(self.router)
        try:
            result = make(batch)
            done = self._submit(batch) if batch.events else None
        except Exception as error:
            if batch.events:
                self._lose(batch.router, error)
            raise
        if done is not None:
            await asyncio.shield(done)  # what is folded is written, also if the caller has gone
        return result

    def _submit(self, batch: Batch) -> asyncio.Future[None]:
        router = batch.router
        every = self.config.settings.store.snapshot_every
        if router.seq - self._snapshot_seq >= every and router.restorable:
            batch.snapshot = (router.seq, router.snapshot())
            self._snapshot_seq = router.seq
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        written = self._writer.submit(batch.events, batch.lineage)
        written.add_done_callback(
            lambda future: loop.call_soon_threadsafe(self._settle, batch, future, done)
        )
        return done

    def _settle(self, batch: Batch, written: Future[None], done: asyncio.Future[None]) -> None:
        error = written.exception()
        if error is None:
            if batch.snapshot is not None:
                self._spawn(asyncio.to_thread(self._save, *batch.snapshot))
            done.set_result(None)
            return
        self._lose(batch.router, error)
        done.set_exception(StoreError(f"the event log cannot be written: {error}"))
        done.exception()  # seen, also if the caller has gone

    def _save(self, seq: int, body: bytes) -> None:
        self.store.save_snapshot(seq, body, codec.digest(body), FOLD_VERSION)

    def _lose(self, router: Router, error: BaseException) -> None:
        """Throw the router away: it has folded what is not on disk."""
        if self._router is not router:
            return  # done already
        log.error("folding the log anew: a write failed: %s", error)
        self._router = None
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
        return restore(self.store, self.config, self.encoder.embedder if self.encoder else None)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _judge(batch: Batch, item: Feedback | Exception) -> FeedbackStatus | Exception:
    if isinstance(item, Exception):
        return item
    try:
        status, event = batch.router.judge(item, time=batch.time)
    except (InvalidInput, UnknownDecision) as error:
        return error
    if event is not None:
        batch.add(event)
    return status


def _embedder(config: Config) -> Embedder | None:
    settings = config.settings.embedder
    if settings.name == OWN_VECTORS:
        return None
    return SentenceTransformerEmbedder(settings.name, batch_size=settings.batch_size)


def _named(config: Config, name: str) -> Config:
    embedder = msgspec.structs.replace(config.settings.embedder, name=name)
    settings = msgspec.structs.replace(config.settings, embedder=embedder)
    return msgspec.structs.replace(config, settings=settings)
