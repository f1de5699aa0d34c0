"""The router as its event log stands for it, and the log as the router goes on.

A router that has folded what could not be written is folded anew from the log; until it stands
again requests are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from .. import codec
from ..config import Config
from ..embedding import Embedder
from ..exceptions import StoreError
from ..fold import FOLD_VERSION
from ..router import Router
from ..store import EventStore, Writer
from .batch import Batch
from .configured import configured, fresh
from .recorder import Recorder

log = logging.getLogger(__name__)

_CLOCK_SECONDS = 60.0


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
        self._hand_over()
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
        self._hand_over()
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
        if not router.restorable:
            log.warning(
                "%d events were folded from the first on, and will be at every start: what %s has "
                "learnt is in no snapshot",
                router.seq,
                " and ".join(router.strategies.unrestorable),
            )
        if (ahead := router.time - time.time()) > _CLOCK_SECONDS:
            log.warning("the clock is %.0f s behind the log, whose time stands till then", ahead)
        return router
