"""Short prompts to cheap models, long ones to dear models."""

from __future__ import annotations

import math
from collections.abc import Hashable

from ..bandits.draws import Draws
from .base import Choice, Context
from .pick import PricedPolicy, certain

_SHORT, _LONG = 100, 4_000  # characters


class LengthPolicy(PricedPolicy):
    """The arms by price, one after another, as the prompt grows from 100 to 4,000 characters.

    A prompt that is not known by its text counts as short.
    """

    name = "length"
    reads = True

    def sees(self, prompt: str | None) -> Hashable:
        """Return its length."""
        return len(prompt or "")

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Choose by the logarithm of the prompt's length."""
        arms = self.ranked(context.arms)
        size = max(len(context.prompt or ""), 1)
        share = math.log(size / _SHORT) / math.log(_LONG / _SHORT)
        return certain(arms[min(max(int(share * len(arms)), 0), len(arms) - 1)], context)
