"""The one object behind every handler: encoder, router, event log, and the demo fleet."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..config import Config
from ..embedding import Embedder
from ..exceptions import BanditRouterError, InvalidInput
from ..router import Router
from ..store import Log
from ..types import ChangeKind, Decision, Feedback, FeedbackStatus, History, Outcome, Request
from .batch import Batch
from .caretaker import erase
from .demo import DemoFleet
from .encoder import Encoder
from .errors import Unavailable
from .keyring import Keyring
from .links import Links
from .purse import Purse
from .recorder import Freshness, Recorder
from .redaction import redactor
from .warming import Warming
from .wire import Demo
from .world import World

log = logging.getLogger(__name__)

_PATIENCE_S = 1.0
_PAUSE_S = 5.0
"""How long a decision that can do without the prompt's embedding waits for it, and for how long
none waits after that was in vain."""


class Engine:
    """Routes and learns, and keeps both on disk.

    Parameters
    ----------
    config
        Settings and models.
    recorder
        The router and its log; the engine closes it.
    keyring
        The API keys; the engine closes them.
    embedder
        The one that the settings name; None if callers bring vectors.
    fleet
        Answers in process, in demo mode.
    """

    def __init__(
        self,
        config: Config,
        recorder: Recorder,
        keyring: Keyring,
        *,
        embedder: Embedder | None = None,
        fleet: DemoFleet | None = None,
    ) -> None:
        self.config = config
        self.keyring = keyring
        self.purse = Purse()
        self.links = Links.of(config.settings.keys, config.tenant)
        self.redact = redactor(config.settings.store.redact)
        self._journal = recorder
        ours = config.settings.embedder
        self._encoder: Encoder | None = None
        if embedder is not None:
            sizes = {"batch_size": ours.batch_size, "cache_size": ours.cache_size}
            self._encoder = Encoder(embedder, **sizes)
        self._warming = Warming(recorder, self._encoder, config.settings)
        self._fleet = fleet
        self._unplaced_until = 0.0
        self.world = World()

    def start(self) -> None:
        """Begin to make ready, in the background."""
        self._warming.start()

    async def warm(self) -> None:
        """Wait until every request can be answered at once."""
        await self._warming.done()

    async def close(self) -> None:
        """Write what is pending and a snapshot, and close the database."""
        await self._warming.close()
        if self._encoder is not None:
            self._encoder.close()
        await self._journal.close()
        self.keyring.close()

    def listen(self, told: Callable[[Batch], None]) -> None:
        """Let `told` know of every batch of events that has reached the disk."""
        self._journal.listeners.append(told)

    @property
    def store(self) -> Log:
        """The log, to read from."""
        return self._journal.store

    def freshness(self) -> Freshness | None:
        """Return how old the router's state is, if it is a copy of a shared one."""
        return self._journal.freshness()

    @property
    def router(self) -> Router:
        """The router, to read from; see `Journal.router`."""
        return self._journal.router

    def wait(self) -> Awaitable[Router]:
        """Return the router, once awaited, as soon as the log has been folded."""
        return self._journal.wait()

    def check_ready(self) -> Router:
        """Return the router if every request can be answered at once.

        Raises
        ------
        Unavailable
            Saying what is missing.
        """
        router = self.router
        if self._encoder is not None and not self._encoder.warm:
            failure = self._encoder.failure
            if failure is None or router.needs_vector_for(Request()):
                raise Unavailable(failure or "the encoder is being loaded")
        return router

    async def decide(
        self,
        text: str | None = None,
        *,
        meaning: str | None = None,
        vector: Sequence[float] | None = None,
        request: Request | None = None,
    ) -> tuple[tuple[Decision, Demo | None], Awaitable[None]]:
        """Choose a model, without waiting for the disk.

        With the decision comes what the demo fleet answered, if there is one; and what to await
        until both are on disk, which raises `StoreError` if they cannot be written.

        Parameters
        ----------
        text
            The whole prompt.
        meaning
            What of it is embedded; None: all of it.
        vector
            Its embedding, if the caller has one.
        """
        router = await self.wait()
        request = request or Request()
        text = text and self.redact(text)
        meaning = meaning and self.redact(meaning)
        judged = router.judge_among(request, text)
        found: Any = vector
        advice = None
        wanted = vector is None and (router.needs_vector or self._fleet is not None)
        if wanted:
            embedded = self._place(router, request, meaning or text or "")
            if judged:  # both take a while: at the same time
                found, advice = await asyncio.gather(embedded, self.world.advise(text, judged))
            else:
                found = await embedded
        elif judged:
            advice = await self.world.advise(text, judged)
        outside = self.world.outside(router.models, advice)

        def make(batch: Batch) -> tuple[Decision, Demo | None]:
            self.check_budget(request.key, batch.time)  # others may have been decided meanwhile
            decision = batch.decide(text, found, request, outside, wanted and found is None)
            played = self._fleet.play(batch, decision) if self._fleet else None
            return decision, played

        return self._journal.begin(make)

    async def consider(self, text: str, request: Request) -> History:
        """Return the decision that a prompt would get; it is not taken, logged or learnt."""
        router = await self.wait()
        wanted = router.needs_vector
        vector = await self._place(router, request, text) if wanted else None
        decision = router.decide(
            text,
            vector=vector,
            request=request,
            time=time.time(),
            decision_id="not-taken",
            unplaced=wanted and vector is None,
        )
        return History(decision=decision)

    def _place(self, router: Router, request: Request, text: str) -> Awaitable[Any]:
        """Return the unit vector of a prompt, None if a decision has to do without and can."""
        if self._fleet is not None or router.needs_vector_for(request):
            return self.embed(text)
        return self._patiently(text)

    async def _patiently(self, text: str) -> Any:
        clock = asyncio.get_running_loop().time
        if clock() < self._unplaced_until:
            return None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self.embed(text)
        except (Unavailable, TimeoutError):
            self._unplaced_until = clock() + _PAUSE_S
        except InvalidInput:  # the prompt's own fault
            pass
        return None

    async def feedback(
        self, items: Sequence[Feedback | Exception], *, key: str | None = None, signed: bool = False
    ) -> list[FeedbackStatus | Exception]:
        """Judge each feedback in order; what counts is on disk when this returns.

        An item that is an exception already, or that cannot be used, stays one in its place.

        Parameters
        ----------
        key
            Id of the API key that speaks; only of decisions that it made itself, or nobody's.
        signed
            It speaks by a link that was signed for the decision, or is the service itself.
        """

        def make(batch: Batch) -> list[FeedbackStatus | Exception]:
            return [batch.judge(item, key, signed=signed) for item in items]

        await self.tell_keys()
        await self._journal.know([i.decision_id for i in items if isinstance(i, Feedback)])
        return await self._journal.write(make)

    async def history(self, decision_id: str) -> History:
        """Return a decision and all that was said of it.

        Raises
        ------
        UnknownDecision
            If there is none of that id.
        """
        await self._journal.know([decision_id])
        return (await self.wait()).history(decision_id)

    async def erase(self, decision_id: str) -> None:
        """Erase text, hash and metadata of a decision, at once and for good.

        Raises
        ------
        UnknownDecision
            If there is none of that id.
        """
        await self.history(decision_id)
        await erase(self._journal, [decision_id])

    async def tell_keys(self) -> None:
        """Let the log know of the API keys in use, if they are others than it knows."""
        await self._journal.tell_keys(self.keyring.terms())

    @property
    def demo(self) -> bool:
        """Whether the demo fleet answers."""
        return self._fleet is not None

    @property
    def samples(self) -> list[str]:
        """Prompts that the demo fleet knows; none without it."""
        return [] if self._fleet is None else self._fleet.prompts

    def note(self, outcome: Outcome) -> None:
        """Log what serving observed; it is folded when this returns, and on disk soon after."""
        what = f"an outcome of {outcome.decision_id}"
        self._begin(lambda batch: batch.observe(outcome), what)

    def check_budget(self, key: str | None, now: float) -> None:
        """Refuse a request of an API key that has spent its budget."""
        found = None if key is None else self.keyring.keys().get(key)
        if found is not None:
            self.purse.check(found, self.router.accounts, now)

    @contextmanager
    def held(self, key: str, usd: float) -> Iterator[None]:
        """Hold what a request that is no decision is expected to cost, until it has been billed.

        Refused where that key has spent its budget.
        """
        self.check_budget(key, time.time())
        with self.purse.holding(key, usd):
            yield

    def bill(self, key: str, usd: float) -> None:
        """Log what an API key has spent on a request that was no decision; as `note` does."""
        spent = {"key": key, "usd": usd}
        self._begin(lambda batch: batch.change("spent", spent), f"what key {key} has spent")

    def _begin(self, make: Callable[[Batch], None], what: str) -> None:
        try:
            self._journal.begin(make)
        except BanditRouterError as error:  # the answer is the client's all the same
            log.warning("%s is not recorded: %s", what, error)

    async def change(self, what: ChangeKind, body: Callable[[Router], dict[str, Any]]) -> None:
        """Write a change, `body` being made of the router as it then is."""
        await self._journal.write(lambda batch: batch.change(what, body(batch.router)))

    def embed(self, text: str) -> Awaitable[Any]:
        """Return the unit vector of a text, once awaited.

        Raises
        ------
        InvalidInput, Unavailable
            Without an embedder, or if it does not answer.
        """
        if self._encoder is None:
            raise InvalidInput(
                "this router has no embedder: give the embedding of the prompt", "embedding"
            )
        return self._encoder.embed(text)
