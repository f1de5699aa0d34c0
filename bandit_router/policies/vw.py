"""Vowpal Wabbit: SquareCB over all arms at once (extra `peers`)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..bandits.belief import Array
from ..bandits.draws import Draws
from ..embedding.base import Projection
from ..types import Candidate
from .base import Choice, Context, Lesson
from .peer import PeerPolicy, peer

_ARGUMENTS = (
    "--cb_explore_adf --squarecb --gamma_scale 10 -q PA --cb_type mtr --quiet "
    "--save_resume --preserve_performance_counters"
)
_LABELS = 17, 25
"""Where a model holds the lowest and the highest cost that it has seen."""


class VWPolicy(PeerPolicy):
    """Contextual bandit with action-dependent features, SquareCB exploration, costs by MTR.

    Its probabilities are its own and exact. It learns with the probability that the decision
    was logged with, whoever decided; where that is not known, it does not learn. The library writes
    its model to files and reads it from files only: those of a moment, in a folder of their own. It
    counts predictions into its model, so that one workspace is asked and another, which learns the
    same and is never asked, is the state.

    References
    ----------
    Foster and Rakhlin (2020), Beyond UCB: optimal and efficient contextual bandits with regression
    oracles; Bietti, Agarwal and Langford (2021), A contextual bandit bake-off.
    """

    name = "vw"

    def __init__(self, projection: Projection | None) -> None:
        super().__init__(projection)
        self._library = peer("vowpalwabbit", self.name)
        self._asked, self._taught = (self._library.Workspace(_ARGUMENTS) for _ in range(2))

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Draw an arm from the distribution that the library predicts."""
        chance = np.array(self._asked.predict(self._example(context)), dtype=np.float64)
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
        self._asked.learn(example)
        self._taught.learn(example)

    def _example(self, context: Context) -> list[str]:
        assert context.vector is not None
        return self._lines(self.features(context.vector), context.arms)

    def _lines(self, x: Array, arms: tuple[str, ...]) -> list[str]:
        """Return the features shared by all arms, and a line for each arm, by its number."""
        features = " ".join(f"f{i}:{value:.6g}" for i, value in enumerate(x))
        number = {name: i for i, name in enumerate(self.arms)}
        return [f"shared |P {features}", *(f"|A m={number[arm]}" for arm in arms)]

    def state(self) -> dict[str, Any]:
        """Return the library's model beside what all peers have."""
        return super().state() | {"model": self._model()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        super().load(state)
        body = state["model"]
        self._check(body)
        with TemporaryDirectory() as folder:
            file = Path(folder) / "model"
            file.write_bytes(body)
            arguments = f"{_ARGUMENTS} -i {file}"
            try:
                self._asked, self._taught = (self._library.Workspace(arguments) for _ in range(2))
            except RuntimeError as error:
                raise ValueError(f"Vowpal Wabbit: {error}") from None
        if self._model() != body:
            raise ValueError("a model of Vowpal Wabbit with something missing")

    def _model(self) -> bytes:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "model"
            self._taught.save(str(file))
            return file.read_bytes()

    def _check(self, body: Any) -> None:
        """Refuse a model that brings other options than ours, which may name files, or a release.

        They stand at its beginning, as in one that has learnt nothing.
        """
        ours = self._model()
        end = ours.index(b"\0", ours.index(b" --"))
        first, last = _LABELS
        if not isinstance(body, bytes) or (body[:first], body[last:end]) != (
            ours[:first],
            ours[last:end],
        ):
            raise ValueError("a model of another Vowpal Wabbit, or of other options")
