"""Policies on their way through a log: what they would choose, and what they would have lived."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from tqdm import tqdm

from ..config import Settings
from ..router import OWN_VECTORS, Router
from ..types import Decision, Feedback, Request
from .log_arrays import Log
from .logs import Logged
from .ope import Array
from .parallel import run_all

WORTH_PROCESSES = 10_000  # decisions; below, starting processes takes longer
SHADOW = "shadow:"
"""Before the name of a strategy: as it was logged, not sent through the log anew."""

TYPICAL = 0.01  # the quantile of propensities that rejection sampling takes for the least


@dataclass(frozen=True, eq=False)
class Run:
    """A policy's way through a log: its probabilities, and what it believed; (n, arms)."""

    target: Array
    quality: Array
    cost: Array


def send(
    log: Log, settings: Settings, base: str, wanted: Sequence[str], progress: bool
) -> tuple[dict[str, Run], dict[str, list[int]]]:
    """Send every policy through the log, and once more by rejection sampling."""
    tasks = todo(base, wanted, log.propensity is not None)
    total = len(tasks) * len(log.rows)
    processes = (os.cpu_count() or 1) if total > WORTH_PROCESSES else 1
    with tqdm(
        total=total, desc="replaying", unit="decision", file=sys.stderr, disable=not progress
    ) as bar:
        found, cut = run_all(_one_pass, (log, settings), tasks, processes, bar)
    if cut:
        raise KeyboardInterrupt
    runs = {name: run for (name, rejecting), run in found.items() if not rejecting}
    return runs, {name: kept for (name, rejecting), kept in found.items() if rejecting}


def todo(base: str, wanted: Sequence[str], propensities: bool) -> list[tuple[str, bool]]:
    """Return the passes that are to be made: policies, and whether by rejection sampling."""
    asked = [name for name in dict.fromkeys([base, *wanted]) if not name.startswith(SHADOW)]
    tasks = [(name, False) for name in asked if not name.startswith("fixed:")]
    return tasks + [(name, True) for name in asked if propensities and name in wanted]


def _one_pass(
    shared: tuple[Log, Settings], task: tuple[str, bool], tick: Callable[[int], object]
) -> Run | list[int]:
    policy, rejecting = task
    log, settings = shared
    least = typical(log.propensity) if rejecting and log.propensity is not None else None
    return Passage(policy, log.models, settings, least).go(log, tick)


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
        shape = (len(log.rows), len(log.models))
        run = Run(np.zeros(shape), np.zeros(shape), np.full(shape, np.nan))
        column = {name: i for i, name in enumerate(log.models)}
        for i, row in enumerate(log.rows):
            decision = self._decide(log, i)
            for candidate in decision.candidates:
                c = column[candidate.model]
                run.target[i, c] = candidate.propensity
                run.quality[i, c] = candidate.quality or 0.0
                run.cost[i, c] = np.nan if candidate.cost_usd is None else candidate.cost_usd
            self._learn(decision, row)
            tick(1)
        run.target[:] /= run.target.sum(axis=1, keepdims=True)
        return replace(run, cost=log.filled(run.cost))

    def _live_through(self, log: Log, least: float, tick: Callable[[int], object]) -> list[int]:
        assert log.propensity is not None
        luck = self._luck.random(len(log.rows))
        kept = []
        for i, row in enumerate(log.rows):
            decision = self._decide(log, i)
            ours = decision.candidate(row.model)
            if ours is not None and luck[i] < least * ours.propensity / log.propensity[i]:
                kept.append(i)
                self._learn(decision, row)
            tick(1)
        return kept

    def _decide(self, log: Log, i: int) -> Decision:
        row, vector = log.rows[i], None if log.vectors is None else log.vectors[i]
        request = Request(models=row.eligible or log.models)
        router = self._router
        return router.decide(row.prompt or "", vector=vector, request=request, time=router.time)

    def _learn(self, decision: Decision, row: Logged) -> None:
        self._router.apply(msgspec.structs.replace(decision, model=row.model))
        said = Feedback(decision_id=decision.decision_id, reward=row.reward, cost_usd=row.cost_usd)
        self._router.feedback(said)


def shadowed(log: Log, strategy: str, base: Run) -> Run:
    """Return what a shadow said when it was asked, as the log has it."""
    column = {name: i for i, name in enumerate(log.models)}
    target = np.zeros((len(log.rows), len(log.models)))
    for i, row in enumerate(log.rows):
        target[i, [column[name] for name in row.eligible]] = row.shadows[strategy]
    return replace(base, target=target)


def constant(log: Log, column: int, base: Run) -> Run:
    """Return always the same model; where it is not eligible, the first that is."""
    target = np.zeros((len(log.rows), len(log.models)))
    for i, row in enumerate(log.rows):
        eligible = not row.eligible or log.models[column] in row.eligible
        target[i, column if eligible else log.models.index(row.eligible[0])] = 1.0
    return replace(base, target=target)
