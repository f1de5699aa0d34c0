"""The choices that learn nothing: one fixed arm, or any arm at random."""

from __future__ import annotations

from ..bandits.draws import Draws
from ..types import Candidate
from .base import Choice, Context, Policy


class FixedPolicy(Policy):
    """Always the same model.

    Parameters
    ----------
    model
        The arm; where it is not eligible the first eligible one stands in for it.
    """

    learns = False

    def __init__(self, model: str) -> None:
        self.name = f"fixed:{model}"
        self.model = model

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Choose the fixed model."""
        chosen = self.model if self.model in context.arms else context.arms[0]
        return Choice(
            model=chosen,
            candidates=tuple(
                Candidate(model=arm, propensity=float(arm == chosen)) for arm in context.arms
            ),
        )


class RandomPolicy(Policy):
    """Every eligible arm with the same probability: the log that any policy can be judged on."""

    name = "random"
    learns = False

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Choose uniformly."""
        chance = 1.0 / len(context.arms)
        return Choice(
            model=context.arms[int(draws.generator.integers(len(context.arms)))],
            candidates=tuple(Candidate(model=arm, propensity=chance) for arm in context.arms),
        )
