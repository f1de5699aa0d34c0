"""Events that share a write, folded into the router as they are made."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import time
from collections.abc import Generator, Iterator
from typing import Any

from ..exceptions import InvalidInput, StoreError, UnknownDecision
from ..memory import reported_cost
from ..policies import Outside
from ..router import Router
from ..store import Rows
from ..types import (
    ChangeKind,
    Decision,
    Event,
    Feedback,
    FeedbackStatus,
    LineageEvent,
    Outcome,
    Request,
)
from .errors import Refused

log = logging.getLogger(__name__)


class Batch:
    """What is made one after another; awaited, it is on disk.

    Awaiting it raises `StoreError` if it could not be written: nothing has happened then.
    """

    def __init__(self, router: Router) -> None:
        self.router = router
        self.time = 0.0  # the router never lets it run back
        self.events: list[Event] = []
        self.lineage: list[LineageEvent] = []
        self.known_costs: dict[int, float] = {}  # of a decision, before each feedback on it
        self.failed: list[str] = []  # strategies beside the live one
        self.rows = Rows()
        self.snapshot: tuple[int, bytes, bool] | None = None  # the last: whether it is enough
        self._settled = False
        self._error: BaseException | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def __await__(self) -> Generator[Any, None, None]:
        if not self._settled:
            # Of each caller's own: one that leaves must not take the others with it.
            done = asyncio.get_running_loop().create_future()
            self._waiting.append(done)
            yield from done
        if self._error is not None:
            raise StoreError(f"nothing was recorded: {self._error}")

    def settle(self, error: BaseException | None = None) -> None:
        """Tell those who wait that all of it is on disk, or why nothing is."""
        self._settled, self._error = True, error
        for done in self._waiting:
            if not done.done():
                done.set_result(None)
        self._waiting.clear()

    def add(self, event: Event) -> None:
        """Fold `event`; one that cannot be written is not folded."""
        self.rows.add(event)
        self.events.append(event)
        lineage = self.router.apply(event)
        if lineage:
            self.rows.trace(lineage)
            self.lineage.extend(lineage)
        failures = self.router.strategies.failures
        while failures:
            self._fails(*failures.popleft())

    def decide(
        self,
        text: str | None,
        vector: Any,
        request: Request,
        outside: Outside,
        unplaced: bool = False,
    ) -> Decision:
        """Choose a model, and fold that."""
        decision = self.router.decide(
            text,
            vector=vector,
            request=request,
            time=self.time,
            decision_id=next(_ids),
            new_id=True,
            outside=outside,
            unplaced=unplaced,
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
            history = self.router.history(item.decision_id)
            owner = history.decision.request.key
            if not signed and owner not in (None, key):
                message = "another key made this decision: only it may judge"
                return Refused(403, message, "decision_id")
            status, event = self.router.judge(item, time=self.time)
        except (InvalidInput, UnknownDecision) as error:
            return error
        if event is not None:
            self.add(event)
            self.known_costs[self.events[-1].seq] = reported_cost(history) or 0.0
        return status

    def observe(self, outcome: Outcome) -> None:
        """Fold what serving observed."""
        self.add(self.router.outcome(outcome, time=self.time))

    def change(self, what: ChangeKind, body: dict[str, Any]) -> None:
        """Fold a change; see `types.Change`."""
        self.add(self.router.change(what, body, time=self.time))

    def tell_failures(self, decision: Decision) -> None:
        """Log and count the strategies that failed beside the one that decided."""
        for shadow in decision.shadows:
            if shadow.error is not None:
                self._fails(shadow.strategy, shadow.error)

    def _fails(self, strategy: str, error: object) -> None:
        self.failed.append(strategy)
        log.warning("the strategy %r failed beside the live one: %s", strategy, error)


def _random_ids() -> Iterator[str]:
    """Yield ids that rise with time: seconds, then 96 random bits that URLs may hold.

    So the log's index on them grows at its end, where ids in no order would have a page of it
    written for each. The system is asked for many at once: asking is to hand the interpreter to
    other threads.
    """
    while True:
        since = f"{int(time.time()):08x}"
        text = base64.urlsafe_b64encode(os.urandom(12 * 256)).decode()
        yield from sorted(since + text[i : i + 16] for i in range(0, len(text), 16))


_ids = _random_ids()
