"""The one object behind every handler: encoder, router, event log, and the demo fleet."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..config import Config
from ..embedding import Embedder, SentenceTransformerEmbedder
from ..exceptions import BanditRouterError, InvalidInput, UnknownDecision
from ..router import OWN_VECTORS, Router
from ..store import EventStore
from ..types import Decision, Feedback, FeedbackStatus, Outcome, Request
from .demo import DemoFleet
from .demo.fleet import SOURCE
from .encoder import Encoder
from .errors import Unavailable
from .journal import Batch, Journal
from .wire import Demo

log = logging.getLogger(__name__)


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
        self.store = store
        self._journal = Journal(store, self.config, embedder)
        self._encoder = Encoder(embedder) if embedder else None
        self._warming: asyncio.Task[None] | None = None
        self._fleet = fleet

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

    def start(self) -> None:
        """Begin to fold the log and to load the encoder, in the background."""
        self._journal.start()
        if self._encoder is not None:
            self._warming = asyncio.get_running_loop().create_task(self._encoder.start())

    async def close(self) -> None:
        """Write what is pending and a snapshot, and close the database."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        if self._encoder is not None:
            self._encoder.close()
        await self._journal.close()

    @property
    def router(self) -> Router:
        """The router, to read from; see `Journal.router`."""
        return self._journal.router

    async def wait(self) -> Router:
        """Return the router as soon as the log has been folded."""
        return await self._journal.wait()

    def check_ready(self) -> Router:
        """Return the router if every request can be answered at once.

        Raises
        ------
        Unavailable
            Saying what is missing.
        """
        router = self.router
        if self._encoder is not None and not self._encoder.warm:
            raise Unavailable(self._encoder.failure or "the encoder is being loaded")
        return router

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
        if found is None and (router.needs_vector or self._fleet):
            found = await self._embed(meaning or text or "")

        def make(batch: Batch) -> tuple[Decision, Demo | None]:
            decision = batch.router.decide(
                text,
                vector=found,
                request=request,
                time=batch.time,
                decision_id=secrets.token_urlsafe(16),
            )
            batch.add(decision)
            if text is not None and decision.prompt is None:
                batch.router.read(decision, text)
            return decision, self._play(batch, decision)

        return await self._journal.write(make)

    async def feedback(
        self, items: Sequence[Feedback | Exception]
    ) -> list[FeedbackStatus | Exception]:
        """Judge each feedback in order; what counts is on disk when this returns.

        An item that is an exception already, or that cannot be used, stays one in its place.
        """

        def make(batch: Batch) -> list[FeedbackStatus | Exception]:
            return [_judge(batch, item) for item in items]

        return await self._journal.write(make)

    @property
    def demo(self) -> bool:
        """Whether the demo fleet answers."""
        return self._fleet is not None

    def note(self, outcome: Outcome) -> None:
        """Log what serving observed; it is folded when this returns, and on disk soon after."""

        def make(batch: Batch) -> None:
            batch.add(batch.router.outcome(outcome, time=batch.time))

        try:
            self._journal.begin(make)
        except BanditRouterError as error:  # the answer is the client's all the same
            log.warning("an outcome of %s is not recorded: %s", outcome.decision_id, error)

    async def change(
        self,
        what: Literal["model_set", "model_removed", "kill_switch"],
        body: Callable[[Router], dict[str, Any]],
    ) -> None:
        """Set or remove an arm or the kill switch, `body` being made of the router as it is."""

        def make(batch: Batch) -> None:
            batch.add(batch.router.change(what, body(batch.router), time=batch.time))

        await self._journal.write(make)

    async def _embed(self, text: str) -> Any:
        if self._encoder is None:
            raise InvalidInput(
                "this router has no embedder: give the embedding of the prompt", "embedding"
            )
        return await self._encoder.embed(text)

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
