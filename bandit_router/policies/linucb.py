"""LinUCB: optimism in the face of uncertainty, over linear models."""

from __future__ import annotations

import numpy as np

from ..bandits.belief import Array, UtilityBelief
from ..config import BanditSettings
from ..embedding.base import Projection
from .linear import LinearPolicy, Mask

_ALPHA = 0.05
_RIDGE = 1.0


class LinUCBPolicy(LinearPolicy):
    """The arm of the highest upper bound ``mean + alpha * sqrt(x' inverse x)``; ties by lot.

    Disjoint models as Li et al. (2010) give them. It does not sample: its propensities are 1
    and 0 (or equal among arms that tie), so a log of it says nothing of other choices unless
    `floor` is set.
    """

    name = "linucb"

    def __init__(self, settings: BanditSettings, projection: Projection | None) -> None:
        super().__init__(settings, projection, ridge=_RIDGE, noise=1.0)

    def decide(
        self, utility: UtilityBelief, eligible: Mask, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Return upper bounds, ties broken, and who had which chance."""
        score = utility.mean + _ALPHA * np.sqrt(utility.var)
        best = np.where(eligible, score, -np.inf)
        ties = best >= best.max() - 1e-12
        if ties.sum() > 1:
            score[rng.choice(np.flatnonzero(ties))] += 1e-9
        return score, ties / ties.sum()
