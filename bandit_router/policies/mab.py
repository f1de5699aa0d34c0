"""MABWiser: LinUCB and linear Thompson sampling, one ridge regression an arm (extra `peers`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bandits.belief import Array, UtilityBelief
from ..bandits.draws import Draws
from ..bandits.thompson import propensities
from ..embedding.base import Projection
from ..types import Candidate, Decision, Model
from .base import Choice, Context, Lesson
from .peer import PeerPolicy, peer, shared

_UCB_ALPHA, _TS_ALPHA = 0.05, 0.1
_ROUND_ROBIN = 30
_MODEL = ("A", "A_inv", "Xty", "beta")


class MABWiserPolicy(PeerPolicy):
    """LinUCB: the arm of the highest upper bound, after 30 decisions in turn.

    An arm that was never tried would keep the same bound for ever; taking turns first is how the
    library is used. Its propensities are exact: 1 for the highest, shared among ties.

    References
    ----------
    Strong, Kleynhans and Kadioglu (2021), MABWiser: parallelizable contextual multi-armed bandits.
    """

    name = "mabwiser"

    def __init__(self, projection: Projection | None) -> None:
        super().__init__(projection)
        self._library = peer("mabwiser.mab", self.name)
        self._mab: Any = None  # made with the first lesson, which tells how many features there are
        self._decisions = 0

    def decided(self, decision: Decision) -> None:
        """Count the turns."""
        self._decisions += self._decisions < _ROUND_ROBIN

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Take turns, then choose by the library's expectations."""
        turn = self._decisions
        if turn < _ROUND_ROBIN or self._mab is None:
            arm = context.arms[turn % len(context.arms)]
            return _chosen(arm, dict.fromkeys(context.arms, 0.0) | {arm: 1.0})
        assert context.vector is not None
        x = self.features(context.vector)
        for model in self._models.values():  # every arm keeps a copy of the generator
            model.rng.rng = draws.generator
        self._mab._rng.rng = draws.generator
        told = self._mab.predict_expectations(x[None])
        score = {arm: float(told[arm]) for arm in context.arms}
        best = max(score, key=score.__getitem__)
        ties = [arm for arm in score if score[arm] >= score[best] - 1e-12]
        if len(ties) > 1:
            best = ties[int(draws.generator.integers(len(ties)))]
        return _chosen(best, self.chances(x, score))

    def chances(self, x: Array, score: dict[str, float]) -> dict[str, float]:
        """Return the propensities of the arms that are scored."""
        return shared(score)

    def feed(self, x: Array, arm: str, reward: float, lesson: Lesson) -> None:
        """Add the observation to the arm's regression."""
        if self._mab is None:
            self._make(len(x))
        self._mab.partial_fit([arm], [reward], x[None])

    def added(self, model: Model) -> None:
        """Give a new arm a regression of its own."""
        if self._mab is not None and model.name not in self._models:
            self._mab.add_arm(model.name)

    def learning(self) -> Any:
        """Return the library's way of learning."""
        return self._library.LearningPolicy.LinUCB(alpha=_UCB_ALPHA)

    @property
    def _models(self) -> dict[str, Any]:
        models: dict[str, Any] = self._mab._imp.arm_to_model
        return models

    def _make(self, features: int) -> None:
        self._mab = self._library.MAB(list(self.arms), self.learning(), seed=0)
        # An observation of nothing: the library wants one before anything else.
        self._mab.fit([self.arms[0]], [0.0], np.zeros((1, features)))

    def state(self) -> dict[str, Any]:
        """Return every arm's regression, and the turns taken."""
        models = {} if self._mab is None else self._models
        fitted = {
            arm: {key: getattr(model, key) for key in _MODEL} for arm, model in models.items()
        }
        return super().state() | {"turns": self._decisions, "fitted": fitted}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        super().load(state)
        self._decisions, fitted = state["turns"], state["fitted"]
        if not fitted:
            return
        self._make(len(next(iter(fitted.values()))["beta"]))
        for arm, values in fitted.items():
            for key, value in values.items():
                setattr(self._models[arm], key, value)


class MABWiserTSPolicy(MABWiserPolicy):
    """Linear Thompson sampling, after 30 decisions in turn.

    Each arm's coefficients are Gaussian and independent of the others', so that the propensities
    follow by quadrature.
    """

    name = "mabwiser-lints"

    def learning(self) -> Any:
        """Return the library's way of learning."""
        return self._library.LearningPolicy.LinTS(alpha=_TS_ALPHA)

    def chances(self, x: Array, score: dict[str, float]) -> dict[str, float]:
        """Return the probability that each arm's draw is the highest."""
        models = [self._models[arm] for arm in score]
        mean = np.array([x @ model.beta for model in models])
        var = _TS_ALPHA**2 * np.array([x @ model.A_inv @ x for model in models])
        belief = UtilityBelief(np.stack([mean, var]))
        chance = propensities(belief, np.ones(len(models), dtype=bool))
        # The arm that was drawn was possible, however unlikely: no log may say 0.
        return {arm: max(float(p), 1e-12) for arm, p in zip(score, chance, strict=True)}


def _chosen(model: str, chance: dict[str, float]) -> Choice:
    return Choice(
        model=model,
        candidates=tuple(Candidate(model=arm, propensity=p) for arm, p in chance.items()),
    )
