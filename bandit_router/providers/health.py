"""How endpoints do, and which of a model's is asked first: a small bandit, kept in memory.

Health is a Beta posterior of success that forgets; an endpoint that fails again and again is left
alone for a while (a circuit breaker), then tried by one request at a time. Which one is asked
first is a Thompson draw: ``success * cheapest / price * sqrt(fastest / latency)``, so that twice
the price needs twice the success, and one that was slow is seen again now and then. A conversation
stays where it was, as long as its beginning may be in that provider's cache.
"""

from __future__ import annotations

import math
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from ..types import Endpoint, Model
from .errors import UpstreamError

OPEN_AFTER = 3
"""Failures in a row that open a circuit."""

_OPEN_SECONDS = 15.0
_OPEN_AT_MOST = 300.0
_PAUSED_AT_MOST = 300.0
_HALF_LIFE = 300.0
_SMOOTHING = 0.2
_CACHED_SECONDS = 300.0
_HOMES = 20_000
_OUTPUT_SHARE = 0.25  # of a request's tokens: what a price is blended by


@dataclass
class Health:
    """How one endpoint has done.

    Attributes
    ----------
    failures
        In a row.
    closed_at
        When its circuit closes, or a rate limit ends; before it, it is not asked.
    good, bad
        Answers and failures; both fade.
    latency
        Smoothed seconds of whole answers, and to the first byte of streams; None: none yet.
    counts
        Failures by kind, answers under ``answered``, since the start.
    responses, stream_usage
        Whether it has the Responses API, and takes ``stream_options``; None: not known yet.
    """

    failures: int = 0
    closed_at: float = 0.0
    probing: bool = False
    good: float = 0.0
    bad: float = 0.0
    seen: float = 0.0
    latency: list[float | None] = field(default_factory=lambda: [None, None])
    counts: Counter[str] = field(default_factory=Counter)
    responses: bool | None = None
    stream_usage: bool | None = None

    def state(self, now: float) -> str:
        """Return ``closed``, ``open`` or ``half-open`` (one request at a time may try)."""
        if now < self.closed_at:
            return "open"
        return "half-open" if self.failures >= OPEN_AFTER else "closed"

    def ready(self, now: float) -> bool:
        """Whether it may be asked."""
        state = self.state(now)
        return state == "closed" or (state == "half-open" and not self.probing)

    def answered(self, seconds: float, *, stream: bool, now: float) -> None:
        """Note an answer: its circuit closes."""
        self._fade(now)
        self.good += 1.0
        self.failures, self.closed_at, self.probing = 0, 0.0, False
        before = self.latency[stream]
        self.latency[stream] = (
            seconds if before is None else before + _SMOOTHING * (seconds - before)
        )
        self.counts["answered"] += 1

    def failed(self, error: UpstreamError, now: float) -> None:
        """Note a failure: after three in a row the circuit opens, for longer every time."""
        self.counts[error.kind] += 1
        self.probing = False
        if not error.meaning.unwell:
            return
        self._fade(now)
        self.bad += 1.0
        if error.kind == "rate_limited" and error.retry_after is not None:
            self.closed_at = now + min(error.retry_after, _PAUSED_AT_MOST)
            return
        self.failures += 1
        if self.failures >= OPEN_AFTER:
            wait = _OPEN_SECONDS * 2 ** min(self.failures - OPEN_AFTER, 10)
            self.closed_at = now + min(wait, _OPEN_AT_MOST)

    def _fade(self, now: float) -> None:
        kept = 0.5 ** ((now - self.seen) / _HALF_LIFE)
        self.good, self.bad, self.seen = kept * self.good, kept * self.bad, now


class Infirmary:
    """The health of every endpoint.

    Parameters
    ----------
    seed
        Of the draws; None: another at every start.
    clock
        Seconds.
    """

    def __init__(self, seed: int | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._random = random.Random(seed)
        self._health: dict[tuple[str, Endpoint], Health] = {}
        self._homes: OrderedDict[tuple[str, str], tuple[Endpoint, float]] = OrderedDict()
        self.clock = clock

    def of(self, model: Model, endpoint: Endpoint) -> Health:
        """Return the health of an endpoint."""
        return self._health.setdefault((model.name, endpoint), Health())

    def settle(self, model: Model, endpoint: Endpoint, session: str | None) -> None:
        """Note where a conversation was answered."""
        if session is None or len(model.endpoints) < 2:
            return
        self._homes[model.name, session] = endpoint, self.clock()
        self._homes.move_to_end((model.name, session))
        if len(self._homes) > _HOMES:
            self._homes.popitem(last=False)

    def known(self) -> list[tuple[str, Endpoint, Health]]:
        """Return every endpoint that was ever asked."""
        return [(name, endpoint, health) for (name, endpoint), health in self._health.items()]

    def ready(self, model: Model) -> bool:
        """Whether any endpoint of a model may be asked."""
        now = self.clock()
        return any(self.of(model, endpoint).ready(now) for endpoint in model.endpoints)

    def ordered(
        self,
        model: Model,
        endpoints: Sequence[Endpoint],
        *,
        stream: bool,
        session: str | None = None,
    ) -> list[Endpoint]:
        """Return the endpoints of a model that may be asked, in the order to ask them in."""
        now = self.clock()
        ready = [e for e in endpoints if self.of(model, e).ready(now)]
        if len(ready) < 2:
            return ready
        prices = [_blended(model, endpoint) for endpoint in ready]
        times = [self.of(model, endpoint).latency[stream] for endpoint in ready]
        cheapest = min((p for p in prices if p), default=0.0)
        fastest = min((t for t in times if t), default=0.0)

        def draw(index: int) -> float:
            health = self.of(model, ready[index])
            faded = 0.5 ** ((now - health.seen) / _HALF_LIFE)
            success = self._random.betavariate(9.0 + faded * health.good, 1.0 + faded * health.bad)
            price, seconds = prices[index], times[index]
            worth = cheapest / price if price and cheapest else 1.0
            pace = math.sqrt(fastest / seconds) if seconds and fastest else 1.0
            return success * worth * pace

        draws = [draw(index) for index in range(len(ready))]
        home, since = self._homes.get((model.name, session or ""), (None, -math.inf))
        if home in ready and now - since <= _CACHED_SECONDS:
            draws[ready.index(home)] = math.inf
        return [ready[i] for i in sorted(range(len(ready)), key=draws.__getitem__, reverse=True)]


def _blended(model: Model, endpoint: Endpoint) -> float | None:
    """Return what a token of typical traffic costs there, US dollars a million."""
    into, out = endpoint.input_usd_per_m, endpoint.output_usd_per_m
    into = model.input_usd_per_m if into is None else into
    out = model.output_usd_per_m if out is None else out
    if into is None and out is None:
        return None
    return (1 - _OUTPUT_SHARE) * (into or 0.0) + _OUTPUT_SHARE * (out or 0.0)
