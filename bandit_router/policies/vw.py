"""Vowpal Wabbit: SquareCB over all arms at once (extra `peers`)."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ..bandits.belief import Array
from ..bandits.draws import Draws
from ..embedding.base import Projection
from ..types import Candidate
from .base import Choice, Context, Lesson
from .peer import PeerPolicy, peer

_ARGUMENTS = "--cb_explore_adf --squarecb --gamma_scale 10 -q PA --cb_type mtr --quiet"


class VWPolicy(PeerPolicy):
    """Contextual bandit with action-dependent features, SquareCB exploration, costs by MTR.

    Its probabilities are its own and exact. It learns with the probability that the decision
    was logged with, whoever decided; where that is not known, it does not learn. Its state cannot
    be taken out of the library, so that a restart folds the whole log.

    References
    ----------
    Foster and Rakhlin (2020), Beyond UCB: optimal and efficient contextual bandits with regression
    oracles; Bietti, Agarwal and Langford (2021), A contextual bandit bake-off.
    """

    name = "vw"

    def __init__(self, projection: Projection | None) -> None:
        super().__init__(projection)
        self._workspace = peer("vowpalwabbit", self.name).Workspace(_ARGUMENTS)
        self._seen = hashlib.sha256()
        self._lessons = 0

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Draw an arm from the distribution that the library predicts."""
        chance = np.array(self._workspace.predict(self._example(context)), dtype=np.float64)
        chance /= chance.sum()
        chosen = int(draws.generator.choice(len(chance), p=chance))
        return Choice(
            model=context.arms[chosen],
            candidates=tuple(
                Candidate(model=arm, propensity=float(p))
                for arm, p in zip(context.arms, chance, strict=True)
            ),
        )

    def feed(self, x: Array, arm: str, reward: float, lesson: Lesson) -> None:
        """Learn the negative reward as a cost."""
        decision = lesson.decision
        assert decision is not None
        unknown = not decision.exact and not decision.propensity_draws
        arms = tuple(c.model for c in decision.candidates if c.model in self.arms)
        if arm != decision.model or unknown or arm not in arms:
            return
        label = f"0:{-reward!r}:{decision.propensity!r} "
        example = [
            line if i == 0 or arms[i - 1] != arm else label + line
            for i, line in enumerate(self._lines(x, arms))
        ]
        self._workspace.learn(example)
        self._seen.update("\n".join(example).encode())
        self._lessons += 1

    def _example(self, context: Context) -> list[str]:
        assert context.vector is not None
        return self._lines(self.features(context.vector), context.arms)

    def _lines(self, x: Array, arms: tuple[str, ...]) -> list[str]:
        """Return the features shared by all arms, and a line for each arm, by its number."""
        features = " ".join(f"f{i}:{value:.6g}" for i, value in enumerate(x))
        number = {name: i for i, name in enumerate(self.arms)}
        return [f"shared |P {features}", *(f"|A m={number[arm]}" for arm in arms)]

    @property
    def restorable(self) -> bool:
        """No: the library keeps its weights to itself."""
        return False

    def state(self) -> dict[str, Any]:
        """Return what the weights follow from: a digest of every lesson, in order."""
        seen = {"lessons": self._lessons, "digest": self._seen.hexdigest()}
        return super().state() | seen
