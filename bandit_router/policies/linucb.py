"""LinUCB: optimism in the face of uncertainty, over linear models."""

from __future__ import annotations

import numpy as np

from ..bandits.belief import Array, UtilityBelief
from ..bandits.draws import Draws
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

    forgetting = 1.0

    def __init__(self, settings: BanditSettings, projection: Projection | None) -> None:
        super().__init__(settings, projection, ridge=_RIDGE, noise=1.0, forgetting=self.forgetting)

    def decide(self, utility: UtilityBelief, eligible: Mask, draws: Draws) -> tuple[Array, Array]:
        """Return upper bounds, ties broken, and who had which chance."""
        score = utility.mean + _ALPHA * np.sqrt(utility.var)
        best = np.where(eligible, score, -np.inf)
        ties = best >= best.max() - 1e-12
        if ties.sum() > 1:
            score[draws.generator.choice(np.flatnonzero(ties))] += 1e-9
        return score, ties / ties.sum()


class ForgettingLinUCBPolicy(LinUCBPolicy):
    """LinUCB that forgets: evidence keeps 0.997 of itself from one lesson to the next.

    About the last 333 lessons count, as in ParetoBandit (Taberner-Miller 2026, arXiv 2604.00136),
    which suits a world that moves and costs where it does not.
    """

    name = "linucb-forgetting"
    forgetting = 0.997
