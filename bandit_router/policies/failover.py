"""One model at several providers: what most gateways do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..types import Model
from .base import Choice, Context
from .pick import PricedPolicy, certain


class FailoverPolicy(PricedPolicy):
    """The main model as long as one of its providers answers, then the next.

    The main model is the one with the highest `quality_prior`; without priors the dearest by
    list price, as people buy who have no data; without prices the first.

    Attributes
    ----------
    up
        Tells whether any provider of a model answers; None: all do. The service or the
        simulator sets it.
    """

    name = "failover"

    def __init__(self) -> None:
        super().__init__()
        self.up: Callable[[str], bool] | None = None

    def choose(self, context: Context, rng: np.random.Generator) -> Choice:
        """Choose the first model in order that answers; the main one if none does."""
        order = self.order(context.arms)
        chosen = next((arm for arm in order if self.up is None or self.up(arm)), order[0])
        return certain(chosen, context)

    def order(self, arms: tuple[str, ...]) -> list[str]:
        """Return `arms`, the main model first."""
        if any(self._prior(arm) is not None for arm in arms):
            return sorted(arms, key=lambda arm: -(self._prior(arm) or 0.0))
        if all(self._price(arm) is None for arm in arms):
            return self.ranked(arms)
        return self.ranked(arms)[::-1]

    def _prior(self, arm: str) -> float | None:
        model: Model | None = self._models.get(arm)
        return None if model is None else model.quality_prior
