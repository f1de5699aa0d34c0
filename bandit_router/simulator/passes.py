"""Policies on their way through a log: what they would choose, and what they would have lived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from ..config import Settings
from ..router import OWN_VECTORS, Router
from ..types import Decision, Feedback, Request
from .log_arrays import Log
from .ope import Array

SHADOW = "shadow:"
"""Before the name of a strategy: as it was logged, not sent through the log anew."""

TYPICAL = 0.01  # the quantile of propensities that rejection sampling takes for the least


@dataclass(frozen=True, eq=False)
class Run:
    """A policy's way through a log: its probabilities, and what it believed; (n, arms)."""

    target: Array
    quality: Array
    cost: Array


def go_through(
    policy: str, log: Log, settings: Settings, tick: Callable[[int], object] = lambda n: None
) -> Run:
    """Go through a log with a policy that learns from every decision of it."""
    return Passage(policy, log.models, settings).go_through(log, tick)


def typical(propensity: Array) -> float:
    """Return the constant of rejection sampling; see `Passage`."""
    return float(np.quantile(propensity, TYPICAL))


class Passage:
    """A policy on its way through a log, which may come in parts.

    Parameters
    ----------
    models
        Of the whole log.
    least
        None: the policy learns from every decision. Else replay by rejection sampling: a logged
        decision is kept with probability ``least pi / p``; the policy learns from those that are,
        and from nothing else, as if it had made them. Their mean reward is unbiased for the
        policy's first decisions, as many as are kept.

    References
    ----------
    Li, Chu, Langford and Wang (2011), Unbiased offline evaluation of contextual-bandit-based news
    article recommendation algorithms.
    """

    def __init__(
        self, policy: str, models: Sequence[str], settings: Settings, least: float | None = None
    ) -> None:
        bandit = msgspec.structs.replace(settings.bandit, strategy=policy)
        settings = msgspec.structs.replace(settings, bandit=bandit)
        self._router = Router(models, settings=settings, embedder=OWN_VECTORS)
        self._least = least
        self._luck = np.random.default_rng(0)

    def go(self, log: Log, tick: Callable[[int], object] = lambda n: None) -> Run | list[int]:
        """Go through the next part; return the run, or the decisions that are lived through."""
        if self._least is None:
            return self.go_through(log, tick)
        return self._live_through(log, self._least, tick)

    def go_through(self, log: Log, tick: Callable[[int], object] = lambda n: None) -> Run:
        """Learn from every decision of the next part."""
        shape = (len(log), len(log.models))
        run = Run(np.zeros(shape), np.zeros(shape), np.full(shape, np.nan))
        column = {name: i for i, name in enumerate(log.models)}
        for i in range(len(log)):
            decision = self._decide(log, i)
            for candidate in decision.candidates:
                c = column[candidate.model]
                run.target[i, c] = candidate.propensity
                run.quality[i, c] = candidate.quality or 0.0
                run.cost[i, c] = np.nan if candidate.cost_usd is None else candidate.cost_usd
            self._learn(decision, log, i)
            tick(1)
        return Run(normal(run.target), run.quality, log.filled(run.cost))

    def _live_through(self, log: Log, least: float, tick: Callable[[int], object]) -> list[int]:
        assert log.propensity is not None
        luck = self._luck.random(len(log))
        kept = []
        for i, action in enumerate(log.action):
            decision = self._decide(log, i)
            ours = decision.candidate(log.models[action])
            if ours is not None and luck[i] < least * ours.propensity / log.propensity[i]:
                kept.append(i)
                self._learn(decision, log, i)
            tick(1)
        return kept

    def _decide(self, log: Log, i: int) -> Decision:
        vector = None if log.vectors is None else log.vectors[i]
        request = Request(models=log.models if log.eligible is None else log.eligible[i])
        router = self._router
        return router.decide(log.prompts[i] or "", vector=vector, request=request, time=router.time)

    def _learn(self, decision: Decision, log: Log, i: int) -> None:
        model, cost = log.models[log.action[i]], float(log.cost[i])
        self._router.apply(msgspec.structs.replace(decision, model=model))
        said = Feedback(
            decision_id=decision.decision_id,
            reward=float(log.reward[i]),
            cost_usd=None if np.isnan(cost) else cost,
        )
        self._router.feedback(said)


def normal(chances: Array) -> Array:
    """Return probabilities of arms, (n, arms), that add up to 1."""
    out: Array = chances / chances.sum(axis=1, keepdims=True)
    return out


def shadowed(log: Log, strategy: str) -> Array:
    """Return what a shadow said when it was asked, as the log has it; (n, arms)."""
    assert log.shadows is not None
    column = {name: i for i, name in enumerate(log.models)}
    target = np.zeros((len(log), len(log.models)))
    for i, said in enumerate(log.shadows):
        eligible = log.models if log.eligible is None else log.eligible[i]
        target[i, [column[name] for name in eligible]] = said[strategy]
    return target


def constant(log: Log, column: int) -> Array:
    """Return always the same model, (n, arms); where it is not eligible, the first that is."""
    target = np.zeros((len(log), len(log.models)))
    if log.eligible is None:
        target[:, column] = 1.0
        return target
    for i, eligible in enumerate(log.eligible):
        able = log.models[column] in eligible
        target[i, column if able else log.models.index(eligible[0])] = 1.0
    return target
