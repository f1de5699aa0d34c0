"""Linear Thompson sampling: every arm's linear model is drawn from its posterior."""

from __future__ import annotations

from ..bandits.belief import Array, UtilityBelief
from ..bandits.draws import Draws
from ..bandits.thompson import draw, propensities
from ..config import BanditSettings
from ..embedding.base import Projection
from .linear import LinearPolicy, Mask

_SCALE = 0.1
_RIDGE = 1.0


class LinTSPolicy(LinearPolicy):
    """The arm of the highest draw from ``N(mean, scale^2 * x' inverse x)``.

    Coefficients of different arms are independent, so the draw at one prompt is one Gaussian
    for each arm, and the propensities follow exactly by quadrature. The posterior is that of
    Agrawal and Goyal (2013), their scale that of practice.
    """

    name = "lints"

    def __init__(self, settings: BanditSettings, projection: Projection | None) -> None:
        super().__init__(settings, projection, ridge=_RIDGE, noise=_SCALE**2)

    def decide(self, utility: UtilityBelief, eligible: Mask, draws: Draws) -> tuple[Array, Array]:
        """Return draws and exact propensities."""
        return draw(utility, draws), propensities(utility, eligible)
