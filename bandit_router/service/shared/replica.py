"""A replica: decides from a copy of the state, and says so in its outbox, not in the log.

No decision waits for the database. What is acknowledged is on this machine's disk; `Link` carries
it to the learner, who puts it into the log, and brings the states that the learner publishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from ...accounts import Terms
from ...config import Config
from ...exceptions import InvalidInput, StoreError, UnknownDecision
from ...memory import Memory, check_feedback, with_event
from ...policies import Outside
from ...router import Router
from ...store import Log, Outbox, Writer
from ...types import Change, Decision, Event, Feedback, FeedbackStatus, History, Outcome, Request
from ..batch import Batch
from ..errors import Unavailable
from ..recorder import Freshness, Recorder
from .ids import Ids, number_of
from .link import Link, RemoteKeys, State

log = logging.getLogger(__name__)

T = TypeVar("T")
STALE_SECONDS = 5.0
"""A state older than this is marked stale."""

_ASK_SECONDS = 1.0  # for what was said of a decision that another replica made
_SEEN_SECONDS = 5.0  # how long an administrator waits to see a change in the state
_DRAIN_SECONDS = 5.0
_REMEMBERED = 50_000  # decisions that are counted in budgets before they come back
_KEEP_SECONDS = 30.0


class ReplicaBatch(Batch):
    """Events of one write, for the outbox: numbered by the replica, folded by the learner."""

    def __init__(self, router: Router, replica: Replica) -> None:
        super().__init__(router)
        self._replica = replica

    def add(self, event: Event) -> None:
        """Put `event` into the outbox, and let the replica remember it."""
        event = msgspec.structs.replace(event, seq=self._replica.number + 1)
        self.rows.add(event)
        self.events.append(event)
        self._replica.number = event.seq
        self._replica.remember(event)

    def decide(
        self,
        text: str | None,
        vector: Any,
        request: Request,
        outside: Outside,
        unplaced: bool = False,
    ) -> Decision:
        """Choose a model from the copy of the state."""
        name = self._replica.ids.make(request.key)
        decision = self.router.decide(
            text,
            vector=vector,
            request=request,
            time=self.time,
            decision_id=name,
            new_id=True,
            number=number_of(name),
            outside=outside,
            unplaced=unplaced,
        )
        self.add(decision)
        self.tell_failures(decision)
        return decision

    def judge(
        self, item: Feedback | Exception, key: str | None, *, signed: bool
    ) -> FeedbackStatus | Exception:
        """Take a feedback; one on a decision that only another replica knows is taken unseen."""
        status = super().judge(item, key, signed=signed)
        if not isinstance(item, Feedback) or not isinstance(status, UnknownDecision):
            return status
        ids, name = self._replica.ids, item.decision_id
        if signed or ids.made_for(name, key) or ids.made_for(name, None):
            try:
                check_feedback(item)
            except InvalidInput as error:
                return error
            self.add(msgspec.structs.replace(item, time=max(self.time, self.router.time)))
            return "recorded"
        if self._replica.away:
            return Unavailable("the database is away: this decision cannot be looked up now")
        return status


class Replica(Recorder):
    """The router as it was published last, and the outbox of what it has decided since.

    Parameters
    ----------
    outbox, store, link
        Closed with the replica.
    config
        Settings; those of the router come with its state.
    """

    def __init__(self, outbox: Outbox, store: Log, link: Link, config: Config) -> None:
        super().__init__(Writer(outbox))
        self._outbox = outbox
        self._store = store
        self._link = link
        self._embedder_name = config.settings.embedder.name
        self._memory = Memory()
        self._unfolded: OrderedDict[int, Decision] = OrderedDict()
        self.number = 0
        self._mark = 0
        self._seen: list[tuple[int, asyncio.Future[None]]] = []
        self._state: State | None = None
        self._kept_at = 0.0
        self._kept: State | None = None
        self._reader = ThreadPoolExecutor(1, "bandit-router-recall")
        self.keys = RemoteKeys(link)

    @property
    def store(self) -> Log:
        """The log, to read from."""
        return self._store

    @property
    def ids(self) -> Ids:
        """What makes decision ids.

        Raises
        ------
        Unavailable
            Before the database was first reached.
        """
        if self._link.ids is None:
            raise Unavailable("the database has not been reached yet")
        return self._link.ids

    def start(self) -> None:
        """Begin to serve from the state that was kept, and to follow the database."""
        self.failure = "no state has been published yet: is a learner running?"
        self._begin_numbers()
        self._spawn(self._follow())

    def _begin_numbers(self) -> None:
        self.number = self._outbox.last()
        self._memory = Memory()
        self._unfolded.clear()
        for event in self._outbox.events():
            self.remember(event)

    async def close(self) -> None:
        """Deliver what can be delivered at once, keep the state, and close the files."""
        self._hand_over()
        await asyncio.to_thread(self._writer.close)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._link.delivered(), _DRAIN_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(self._keep)
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._store.close()
        self._outbox.close()

    def freshness(self) -> Freshness:
        """Return how old the router's state is."""
        age = self._link.age_s
        reason = self._link.trouble
        if reason is None and (age is None or age > STALE_SECONDS):
            reason = "the learner does not keep up, or there is none"
        pending = self.number - self._link.delivered_until
        return Freshness(stale=reason is not None, age_s=age, pending=pending, reason=reason)

    @property
    def away(self) -> bool:
        """Whether the log cannot be asked for anything now."""
        return self._link.trouble is not None

    def remember(self, event: Event) -> None:
        """Know an event of one's own before it comes back in a state."""
        if isinstance(event, Decision):
            bare = msgspec.structs.replace(event, vector=b"")
            self._memory.put(History(decision=bare))
            self._unfolded[event.seq] = bare
            if len(self._unfolded) > _REMEMBERED:
                self._unfolded.popitem(last=False)
            if self._router is not None:
                self._router.book(bare)
        elif isinstance(event, Outcome | Feedback):
            if (history := self._recall(event.decision_id)) is not None:
                self._memory.put(with_event(history, event))
        elif event.what == "erased":
            self._memory.erase(event.body["decision_ids"])
        elif event.what == "spent" and self._router is not None:
            self._router.accounts.spent(event.body["key"], event.body["usd"], event.time)

    async def write(self, make: Callable[[Batch], T]) -> T:
        """See `Recorder.write`; a change of arms or settings is waited for until it is seen."""
        changed: list[int] = []

        def noting(batch: Batch) -> T:
            before = len(batch.events)
            result = make(batch)
            made = batch.events[before:]
            changed.extend(event.seq for event in made if isinstance(event, Change))
            return result

        result = await super().write(noting)
        if changed and not self.freshness().stale:
            seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._seen.append((changed[-1], seen))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(seen, _SEEN_SECONDS)
        return result

    async def know(self, decision_ids: Sequence[str]) -> None:
        """Ask the log for decisions that other replicas made; not for long, nor if it is away."""
        unknown = [id_ for id_ in decision_ids if self._recall(id_) is None]
        if not unknown or self.away:
            return
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                found = await loop.run_in_executor(self._reader, self._ask, unknown)
        except (StoreError, TimeoutError) as error:
            log.warning("the log could not be asked for a decision: %s", error or "too slow")
            return
        for history in found:
            if self._recall(history.decision.decision_id) is None:
                self._memory.put(history)

    def _ask(self, decision_ids: Sequence[str]) -> list[History]:
        found = [self._store.recall(id_) for id_ in decision_ids]
        return [history for history in found if history is not None]

    async def tell_keys(self, terms: dict[str, Terms]) -> None:
        """Do nothing: the learner reads the keys itself."""

    # -- inside -----------------------------------------------------------------------------

    def _batch(self, router: Router) -> Batch:
        _ = self.ids  # before anything is made
        return ReplicaBatch(router, self)

    def _made(self, batch: Batch) -> None:
        """Add nothing: snapshots are the learner's."""

    def _written_down(self, batch: Batch) -> None:
        self._link.wake.set()

    def _lose(self, router: Router, error: BaseException) -> None:
        log.error("the outbox could not be written: %s", error)
        self._spawn(self._again())

    async def _again(self) -> None:
        await asyncio.to_thread(self._writer.reset)
        self._begin_numbers()

    def _recall(self, decision_id: str, before_seq: int = 0) -> History | None:
        try:
            return self._memory.history(decision_id, before_seq)
        except UnknownDecision:
            return None

    async def _follow(self) -> None:
        """Take up the state that was kept, then whatever is published, for ever."""
        kept = await asyncio.to_thread(self._link.load)
        if kept is not None:
            await self._take(kept)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._link.run())
            group.create_task(self._link.listen())
            while True:
                await self._take(await self._link.states.get())
                if time.monotonic() - self._kept_at > _KEEP_SECONDS:
                    await asyncio.to_thread(self._keep)

    async def _take(self, state: State) -> None:
        try:
            router = await asyncio.to_thread(self._restored, state)
        except Exception as error:
            self._link.refused = self.failure = str(error)
            log.exception("the published state cannot be used")
            return
        self._link.refused = self.failure = None
        self._mark = state.marks.get(self._outbox.name, 0)
        while self._unfolded and next(iter(self._unfolded)) <= self._mark:
            self._unfolded.popitem(last=False)
        for decision in self._unfolded.values():
            router.book(decision)
        if self._router is not None:
            router.names = self._router.names
        self._router, self._state = router, state
        self._folded.set()
        for number, seen in self._seen:
            if number <= self._mark and not seen.done():
                seen.set_result(None)
        self._seen = [pair for pair in self._seen if not pair[1].done()]

    def _restored(self, state: State) -> Router:
        router = Router.restore([], state=state.checked(), recall=self._recall)
        if (theirs := router.settings.embedder.name) != self._embedder_name:
            raise StoreError(
                f"the log's embedder is {theirs!r}, and this replica's is {self._embedder_name!r}: "
                "give every process the same configuration"
            )
        return router

    def _keep(self) -> None:
        self._kept_at = time.monotonic()
        if self._state is not None and self._state is not self._kept:
            self._link.save(self._state)
            self._kept = self._state
