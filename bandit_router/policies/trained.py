"""What policies that need labelled data share: they are trained once, and then stand still."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import msgspec
import numpy as np

from ..bandits.belief import Array
from ..bandits.draws import Draws
from ..config import BanditSettings
from ..embedding.base import Projection
from ..types import Candidate, Model, Training, Vector
from .base import Choice, Context, Expectation, Policy, typical_cost


class Table(msgspec.Struct, frozen=True):
    """Outcomes of every arm on every training prompt.

    `z` are features, shape (prompts, d); `quality` and `cost` have shape (prompts, arms), nan
    where an arm was not tried.
    """

    z: Array
    quality: Array
    cost: Array


class TrainedPolicy(Policy):
    """A router fitted on full information: what each arm would have done on each prompt.

    Before it is trained it chooses uniformly, which is the best log to train it on. It learns
    nothing from feedback, as such routers do not.
    """

    needs_vector = True
    needs_training = True

    def __init__(self, settings: BanditSettings, projection: Projection | None) -> None:
        self._projection = projection
        self._seed = settings.seed
        self.arms: list[str] = []
        self._list_cost: dict[str, float | None] = {}

    @abstractmethod
    def fit(self, table: Table, rng: np.random.Generator) -> None:
        """Learn from full information."""

    @abstractmethod
    def predict(self, z: Array) -> tuple[Array, Array]:
        """Return quality and cost expected of each trained arm, each of shape (arms,)."""

    def train(self, training: Training) -> None:
        """Fold full information, instead of any before."""
        self.arms = list(training.arms)
        z = np.stack([self._features(v) for v in training.matrix()])
        self.fit(
            Table(z, training.qualities(), training.costs()), np.random.default_rng(self._seed)
        )

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Choose the arm of the highest expected utility among those trained."""
        known = {arm: i for i, arm in enumerate(self.arms)}
        arms = [arm for arm in context.arms if arm in known]
        if not arms:
            chance = 1.0 / len(context.arms)
            return Choice(
                model=context.arms[int(draws.generator.integers(len(context.arms)))],
                candidates=tuple(Candidate(model=a, propensity=chance) for a in context.arms),
            )
        quality, cost = self.predict(self._features(context.vector))
        scale = context.utility.cost_weight / context.utility.reference_cost_usd
        price = np.where(
            np.isfinite(cost), cost, np.nanmean(cost) if np.isfinite(cost).any() else 0
        )
        utility = quality - scale * price
        chosen = max(arms, key=lambda arm: float(utility[known[arm]]))
        return Choice(
            model=chosen,
            candidates=tuple(
                self._candidate(arm, known.get(arm), arm == chosen, quality, cost, utility)
                for arm in context.arms
            ),
        )

    def expected(self, context: Context) -> dict[str, Expectation]:
        """Return the cost expected of each trained arm; of the others, list prices."""
        out = {arm: Expectation(cost_usd=cost) for arm, cost in self._list_cost.items()}
        if self.arms:
            _, cost = self.predict(self._features(context.vector))
            out |= {
                a: Expectation(cost_usd=_number(c)) for a, c in zip(self.arms, cost, strict=True)
            }
        return out

    def set_arm(self, model: Model) -> None:
        """Note the list price of an arm; one that was not trained on is not chosen."""
        self._list_cost[model.name] = typical_cost(model)

    def state(self) -> dict[str, Any]:
        """Return arms and what was fitted."""
        return {"arms": self.arms, "list_cost": self._list_cost, "fitted": self.fitted()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.arms, self._list_cost = list(state["arms"]), dict(state["list_cost"])
        self.refit(state["fitted"])

    @abstractmethod
    def fitted(self) -> dict[str, Any]:
        """Return what was fitted, as arrays."""

    @abstractmethod
    def refit(self, fitted: dict[str, Any]) -> None:
        """Take over what `fitted` returned."""

    def _features(self, vector: Vector | None) -> Array:
        if vector is None:
            return np.zeros(self._projection.components.shape[0] if self._projection else 1)
        if self._projection is None:
            return vector.astype(np.float64)
        return self._projection.apply(vector)

    def _candidate(
        self,
        arm: str,
        i: int | None,
        chosen: bool,
        quality: Array,
        cost: Array,
        utility: Array,
    ) -> Candidate:
        if i is None:
            return Candidate(model=arm, propensity=0.0)
        return Candidate(
            model=arm,
            propensity=float(chosen),
            quality=float(quality[i]),
            cost_usd=_number(cost[i]),
            utility=float(utility[i]),
        )


def mean_by_arm(values: Array, fallback: float) -> Array:
    """Mean over prompts of what is known, shape (arms,); `fallback` for an arm never tried."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), fallback)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
