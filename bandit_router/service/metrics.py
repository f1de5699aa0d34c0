"""Counters for Prometheus: of events that have reached the disk, and of HTTP requests.

Label sets are bounded: whatever grows with callers or configuration is counted under ``other``
beyond a limit. Every name is described in ``docs/monitoring.md``.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, Summary

from ..exceptions import BanditRouterError
from ..types import Change, Decision, Event, Feedback, Outcome
from .batch import Batch
from .overview import explored
from .traffic import Traffic

OTHER = "other"
_MODELS, _SOURCES = 100, 20
PREFIX = "bandit_router"
_MODEL_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)


class Bounded:
    """Lets the first `limit` values of a label through and calls the rest ``other``.

    Examples
    --------
    >>> label = Bounded(1)
    >>> label("a"), label("b"), label("a")
    ('a', 'other', 'a')
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """Return the value, or ``other``."""
        if value in self._seen:
            return value
        if len(self._seen) >= self._limit:
            return OTHER
        self._seen.add(value)
        return value


class Metrics:
    """Every metric of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._model, self._source = Bounded(_MODELS), Bounded(_SOURCES)
        self._decisions = self._counter("decisions", "Prompts routed.", "model")
        self._explored = Counter(
            f"{PREFIX}_explored",
            "Prompts given to another model than the one of highest expected utility.",
            registry=self.registry,
        )
        self._feedback = self._counter("feedback", "Feedback taken.", "source")
        self._reward = cache(
            Summary(
                f"{PREFIX}_reward",
                "Rewards in [0, 1] that feedback gave.",
                ["model"],
                registry=self.registry,
            ).labels
        )
        self._cost = self._counter("cost_usd", "US dollars that answers cost.", "model")
        self._calls = self._counter("model_calls", "Calls of models.", "model", "result")
        self._tokens = self._counter("tokens", "Tokens of answers.", "model", "direction")
        self._lineage = self._counter("lineage_events", "What became of clusters.", "what")
        self._changes = self._counter("changes", "Changes of models and settings.", "what")
        self._failures = self._counter(
            "strategy_failures", "Failures of strategies beside the live one.", "strategy"
        )
        self.traffic = Traffic(PREFIX)
        self.registry.register(self.traffic)
        self._model_seconds = self._histogram(
            "model_call_seconds", "How long models took to answer.", _MODEL_SECONDS, "model"
        )

    def written(self, batch: Batch) -> None:
        """Count events that are on disk."""
        decisions, others = [], []
        for event in batch.events:
            if type(event) is Decision:
                decisions.append(event)
            else:
                others.append(event)
        self._routed(decisions)
        for event in others:
            self._event(event, batch)
        for seen in batch.lineage:
            self._lineage(seen.what).inc()
        for strategy in batch.failed:
            self._failures(strategy).inc()

    def _routed(self, decisions: list[Decision]) -> None:
        for model, count in Tally([decision.model for decision in decisions]).items():
            self._decisions(self._model(model)).inc(count)
        self._explored.inc(sum(map(explored, decisions)))

    def _event(self, event: Event, batch: Batch) -> None:
        if isinstance(event, Outcome):
            self._outcome(event)
        elif isinstance(event, Feedback):
            self._said(event, batch)
        elif isinstance(event, Change):
            self._changes(event.what).inc()

    def _outcome(self, event: Outcome) -> None:
        model = self._model(event.model)
        self._calls(model, "failed" if event.error else "answered").inc()
        if event.cost_usd is not None:
            self._cost(model).inc(event.cost_usd)
        if event.latency_ms is not None:
            self._model_seconds(model).observe(event.latency_ms / 1000.0)
        tokens = (("input", event.prompt_tokens), ("output", event.completion_tokens))
        for direction, count in tokens:
            if count is not None:
                self._tokens(model, direction).inc(count)

    def _said(self, event: Feedback, batch: Batch) -> None:
        self._feedback(self._source(event.source)).inc()
        try:
            model = self._model(batch.router.history(event.decision_id).answered_by)
        except BanditRouterError:  # thrown away meanwhile
            model = OTHER
        if event.reward is not None:
            self._reward(model).observe(event.reward)
        if event.cost_usd is not None:  # in place of what was said before, of which it may be part
            known = batch.known_costs.get(event.seq, 0.0)
            self._cost(model).inc(max(0.0, event.cost_usd - known))

    # By their labels, which are bounded: to look one up costs more than to count.

    def _counter(self, name: str, help_: str, *labels: str) -> Callable[..., Counter]:
        return cache(Counter(f"{PREFIX}_{name}", help_, labels, registry=self.registry).labels)

    def _histogram(
        self, name: str, help_: str, steps: tuple[float, ...], label: str
    ) -> Callable[..., Histogram]:
        name = f"{PREFIX}_{name}"
        return cache(Histogram(name, help_, [label], buckets=steps, registry=self.registry).labels)
