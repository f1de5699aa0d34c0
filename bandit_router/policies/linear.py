"""What LinUCB and linear Thompson sampling share: features, posterior, and the fold."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bandits.belief import Array, UtilityBelief, compose
from ..bandits.draws import Draws
from ..bandits.linear import LinearPosterior
from ..bandits.thompson import with_floor
from ..config import BanditSettings
from ..embedding.base import Projection
from ..types import Model, Vector
from .base import Choice, Context, Expectation, Lesson, Policy, dearest, known, typical_cost
from .settling import any_arm, eligible, settled

Mask = NDArray[np.bool_]


class LinearPolicy(Policy):
    """A disjoint linear model for each arm over the prompt's place in the map's space.

    The features are the projected embedding, scaled to a mean square of 1, and a constant.

    Parameters
    ----------
    settings
        Only `floor` is used; the rest of a linear bandit is fixed by its subclass.
    projection
        Into the map's space; None takes embeddings as they are.
    ridge, noise, forgetting
        See `LinearPosterior`.
    """

    needs_vector = True

    def __init__(
        self,
        settings: BanditSettings,
        projection: Projection | None,
        ridge: float,
        noise: float,
        forgetting: float = 1.0,
    ) -> None:
        self._projection = projection
        self.posterior = LinearPosterior(ridge, noise, forgetting)
        self.tune(settings)

    @abstractmethod
    def decide(self, utility: UtilityBelief, eligible: Mask, draws: Draws) -> tuple[Array, Array]:
        """Return every arm's score (the highest eligible wins) and its propensity."""

    def tune(self, settings: BanditSettings) -> None:
        """Take over the floor."""
        self._floor = settings.floor

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Choose the arm of the highest score; with a floor, now and then any arm."""
        belief = self.posterior.at(self._features(context.vector))
        utility = compose(belief, context.utility)
        allowed = eligible(tuple(self.posterior.arms), context.arms)
        score, chance = self.decide(utility, allowed.mask, draws)
        chance = with_floor(chance, allowed.mask, self._floor)
        taken = any_arm(allowed, self._floor, draws) if self._floor else None
        chosen, found = settled(context.arms, allowed, belief, chance, utility, score, taken)
        return Choice(model=self.posterior.arms[chosen], candidates=found)

    def expected(self, context: Context) -> dict[str, Expectation]:
        """Return mean cost and latency of each arm for this prompt."""
        belief = self.posterior.at(self._features(context.vector))
        return {
            arm: Expectation(
                cost_usd=known(float(belief.cost[i])), latency_ms=known(float(belief.latency[i]))
            )
            for i, arm in enumerate(self.posterior.arms)
        }

    def reference_cost(self) -> float | None:
        """Return the mean cost of the dearest arm; see `base.dearest`."""
        return dearest(self.posterior.means[1]) if self.posterior.arms else None

    def learn(self, lesson: Lesson) -> None:
        """Credit the arm at the prompt's features."""
        if lesson.arm not in self.posterior.index:  # removed before this policy was there
            return
        self.posterior.learn(self._features(lesson.vector), lesson.sums, lesson.arm)

    def set_arm(self, model: Model) -> None:
        """Add an arm, or alter its priors."""
        self.posterior.set_arm(model.name, model.quality_prior, typical_cost(model))

    def state(self) -> dict[str, Any]:
        """Return the posterior."""
        return {"posterior": self.posterior.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.posterior.load(state["posterior"])

    def _features(self, vector: Vector | None) -> Array:
        """Return the features of a prompt; without a vector, those of the mean prompt."""
        if vector is None:
            size = self._projection.components.shape[0] if self._projection else 0
            z = np.zeros(size)
        elif self._projection is None:
            z = vector.astype(np.float64)
        else:
            z = self._projection.apply(vector)
        return np.append(np.sqrt(len(z)) * z, 1.0)
