"""What the peers share: bandits of other packages (extra `peers`), each in its best known setting.

A peer learns one number for each decision, once, when its quality first becomes known, however
late: the utility by the weights of that decision (a peer takes nothing back, and a change of
weights has to be learnt anew). Late feedback finds the features and the propensity that the
decision had; they are in the log.
"""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module
from typing import Any

import numpy as np

from ..bandits.belief import Array
from ..bandits.credit import CN, LN, C, L, R, Sums, W
from ..embedding.base import Projection
from ..exceptions import MissingExtra
from ..types import Model, Vector
from .base import Context, Expectation, Lesson, Policy, typical_cost


def peer(module: str, strategy: str) -> Any:
    """Return a module of the extra `peers`.

    Raises
    ------
    MissingExtra
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtra(
            f"the strategy {strategy!r} is one of the extra `peers`: "
            "pip install 'bandit-router[peers]'",
            "bandit.strategy",
        ) from None


class PeerPolicy(Policy):
    """A bandit of another package over the features of a prompt.

    The features are the projected embedding, scaled to a mean square of 1, and a constant.

    Parameters
    ----------
    projection
        Into the map's space; None takes embeddings as they are.
    """

    needs_vector = True

    def __init__(self, projection: Projection | None) -> None:
        self._projection = projection
        self.arms: list[str] = []
        self._list_cost: dict[str, float | None] = {}
        self._bills: dict[str, list[float]] = {}  # number and sum of the bills of each arm

    @abstractmethod
    def feed(self, x: Array, arm: str, reward: float, lesson: Lesson) -> None:
        """Let the peer learn that `arm` earned `reward` where the features were `x`."""

    def added(self, model: Model) -> None:
        """Let the peer know of a new arm, or of an altered one."""
        return

    def learn(self, lesson: Lesson) -> None:
        """Note what an arm costs, and let the peer learn what is first heard of a decision."""
        if lesson.arm not in self.arms:  # removed before this policy was there
            return
        bills = self._bills[lesson.arm]
        bills[0] += lesson.sums[CN]
        bills[1] += lesson.sums[C]
        total, vector = lesson.total, lesson.vector
        if total is None or vector is None or not 0.0 < total[W] == lesson.sums[W]:
            return
        self.feed(self.features(vector), lesson.arm, self.reward(lesson, total), lesson)

    def reward(self, lesson: Lesson, total: Sums) -> float:
        """Return the utility that a decision had, as far as is known."""
        assert lesson.decision is not None
        terms = lesson.decision.utility
        out = total[R] / total[W]
        if terms.cost_weight:
            cost = total[C] if total[CN] else self._cost(lesson.arm) or 0.0
            out -= terms.cost_weight * cost / terms.reference_cost_usd
        if terms.latency_weight and total[LN]:
            out -= terms.latency_weight * total[L] / terms.reference_latency_ms
        return out

    def set_arm(self, model: Model) -> None:
        """Add an arm, or note its new price."""
        self._list_cost[model.name] = typical_cost(model)
        if model.name not in self.arms:
            self.arms.append(model.name)
            self._bills[model.name] = [0.0, 0.0]
        self.added(model)

    def expected(self, context: Context) -> dict[str, Expectation]:
        """Return the mean cost of each arm; without bills, list prices."""
        return {arm: Expectation(cost_usd=self._cost(arm)) for arm in context.arms}

    def reference_cost(self) -> float | None:
        """Return the mean cost of the dearest arm."""
        return max((cost for arm in self.arms if (cost := self._cost(arm))), default=None)

    def _cost(self, arm: str) -> float | None:
        number, total = self._bills.get(arm, (0.0, 0.0))
        return total / number if number >= 1.0 else self._list_cost.get(arm)

    def features(self, vector: Vector) -> Array:
        """Return the features of a prompt."""
        projection = self._projection
        z = vector.astype(np.float64) if projection is None else projection.apply(vector)
        return np.append(np.sqrt(len(z)) * z, 1.0)

    def state(self) -> dict[str, Any]:
        """Return arms and bills."""
        return {
            "arms": list(self.arms),
            "list_cost": dict(self._list_cost),
            "bills": {arm: list(self._bills[arm]) for arm in self.arms},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.arms = list(state["arms"])
        self._list_cost = dict(state["list_cost"])
        self._bills = {arm: list(bills) for arm, bills in state["bills"].items()}


def shared(scores: dict[str, float]) -> dict[str, float]:
    """Return the propensities of choosing the highest score, ties by lot."""
    best = max(scores.values())
    ties = [arm for arm, score in scores.items() if score >= best - 1e-12]
    return {arm: (1.0 / len(ties) if arm in ties else 0.0) for arm in scores}
