"""What the learner does of `[store] keep_days`: old events fold into a checkpoint, bit by bit."""

from __future__ import annotations

import logging
import time

from ...exceptions import StoreError
from ...router import Router
from ...store.postgres import LearnerStore
from ...store.retention import drop, ripe, settle

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 3_600.0
_DAY = 86_400.0


class Compaction:
    """Folds old events, some at each turn, over the connection that holds the lock.

    First the checkpoint is set, then some hundred events go in each transaction, and between two
    of them the learner learns. Whoever takes over in the middle drops what is left.

    Parameters
    ----------
    store
        The log; the router is its fold, and has nothing that is not on disk yet.
    keep_days
        Older events are folded.
    """

    def __init__(self, store: LearnerStore, router: Router, keep_days: float) -> None:
        self._store = store
        self._router = router
        self._keep = keep_days * _DAY
        self._checkpoint = store.checkpoint()
        self._after: int | None = 0  # None: there is nothing more to drop
        self._gone = 0
        self._due_at = 0.0

    def turn(self) -> None:
        """Do some of what is due."""
        now = time.monotonic()
        if self._after is None and now < self._due_at:
            return
        try:
            if self._after is None:
                self._due_at = now + _PAUSE_SECONDS
                self._begin()
            else:
                self._drop(self._after)
        except StoreError as error:
            log.warning("the log was not tidied, in an hour it is tried again: %s", error)
            self._after, self._due_at = None, now + _PAUSE_SECONDS

    def _begin(self) -> None:
        if due := ripe(self._store, time.time(), self._keep):
            settle(self._store, due)
            self._store.analyze()
            self._checkpoint, self._after, self._gone = due, 0, 0

    def _drop(self, after: int) -> None:
        # What is said of a decision is on disk by now, so that it is kept, or finds no decision:
        # nothing that is held in memory may outlive its events.
        self._router.forget_until(self._checkpoint)
        try:
            gone, until = drop(self._store, self._checkpoint, after)
        finally:
            self._router.forget_until(0)
        self._gone += gone
        self._after = until if until != after else None
        if self._after is None and self._gone:
            log.info(
                "%d events were folded into the checkpoint at event %d",
                self._gone,
                self._checkpoint,
            )
