"""Thompson sampling with the exact probability of every arm.

Each arm's utility is drawn from its posterior, the highest draw wins. The probability that an
arm wins, its *propensity*, is one integral over its own density:
``P(a) = E[prod over b of F_b(X_a)]``, which is computed on a grid made of every
arm's own quantiles, so that narrow posteriors beside wide ones are resolved.

References
----------
Thompson (1933), On the likelihood that one unknown probability exceeds another;
Chapelle and Li (2011), An empirical evaluation of Thompson sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, ndtr, ndtri

from ..compiled import compiled
from .belief import UtilityBelief
from .draws import Draws
from .normal import MIN_SD, highest

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_TAIL = 1e-10
_CELLS = np.concatenate([[_TAIL, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3], np.linspace(0.005, 0.995, 67)])
_QUANTILES = np.unique(np.concatenate([_CELLS, 1.0 - _CELLS[:6]]))
_NORMAL = ndtri(_QUANTILES)
_ENDS = np.array([_TAIL, 1.0 - _TAIL])
_SOME, _EVEN = 30, 600


def draw(belief: UtilityBelief, draws: Draws) -> Array:
    """Return one draw of every arm's utility, shape (arms,)."""
    if belief.beta is not None:
        sample: Array = draws.generator.beta(belief.beta[0], belief.beta[1]) + belief.shift
        return sample
    return draws.normals(belief.moments)


def propensities(belief: UtilityBelief, eligible: Mask) -> Array:
    """Return the probability that each arm's draw is the highest among the eligible.

    Parameters
    ----------
    belief
        Posteriors of the utilities.
    eligible
        Shape (arms,); the others get 0.

    Returns
    -------
    Array
        Shape (arms,), summing to 1 (to rounding).

    Notes
    -----
    With cells ``(x_k, x_k+1]`` of the merged grid, ``P(a)`` is the sum of
    ``(F_a(x_k+1) - F_a(x_k)) * prod_b (F_b(x_k) + F_b(x_k+1)) / 2``, b over the other arms,
    normalised. Against 10^7 Monte Carlo draws the error is below 0.002 (tested).
    """
    if belief.beta is None:
        found = highest(belief.moments, eligible)
        if found is not None:
            return found
    out = np.zeros(belief.moments.shape[1])
    rows = _contenders(belief, np.flatnonzero(eligible))
    if len(rows) > 1:
        cdf, quantile = _distributions(belief, rows)
        grid = _grid(quantile, len(rows))
        below = cdf(grid)  # (contenders, grid)
        mass = np.diff(below, axis=1)
        middle = np.maximum(0.5 * (below[:, 1:] + below[:, :-1]), 1e-300)
        product = middle.prod(axis=0)
        chance = (mass * (product / middle)).sum(axis=1)
        out[rows] = chance / chance.sum()
    else:
        out[rows] = 1.0
    return out


@compiled
def winner(score: Array, eligible: NDArray[np.int64]) -> int:
    """Return the eligible arm of the highest score, of equals that of the lowest number."""
    best = -1
    for a in eligible:
        if best < 0 or score[a] > score[best] or (score[a] == score[best] and a < best):
            best = a
    return best


def with_floor(chance: Array, eligible: Mask, floor: float) -> Array:
    """Mix `chance` with the uniform choice so that no eligible arm falls below `floor`."""
    share = min(floor * int(eligible.sum()), 1.0)
    return (1.0 - share) * chance + share * eligible / max(int(eligible.sum()), 1)


Curve = Callable[[Array], Any]


def _distributions(belief: UtilityBelief, rows: NDArray[np.int64]) -> tuple[Curve, Curve]:
    """The cdf (grid -> (rows, grid)) and quantile function ((k,) -> (rows, k)) of some arms."""
    if belief.beta is not None:
        a, b = belief.beta[0, rows, None], belief.beta[1, rows, None]
        assert belief.shift is not None
        shift = belief.shift[rows, None]
        return (
            lambda x: betainc(a, b, np.clip(x - shift, 0.0, 1.0)),
            lambda q: betaincinv(a, b, q) + shift,
        )
    mean = belief.mean[rows, None]
    sd = np.sqrt(belief.var[rows, None]) + MIN_SD
    return (
        lambda x: ndtr((x - mean) / sd),
        lambda q: mean + sd * (_NORMAL if q is _QUANTILES else ndtri(q)),
    )


def _grid(quantile: Curve, arms: int) -> Array:
    """Return where the densities are summed up, ascending.

    Many arms fill the merged grid by themselves: fewer quantiles of each are enough, with an even
    grid over the whole range, and the highest of all, where the winner of many lies.
    """
    if arms <= _SOME:
        return np.unique(quantile(_QUANTILES)[:, :: 1 + arms // 6])
    points = quantile(_QUANTILES)
    even = np.linspace(points[:, 0].max(), points[:, -1].max(), _EVEN)
    few = points[:, :: max(1, len(_QUANTILES) // max(1, _EVEN // arms))]
    return np.unique(np.concatenate([even, few.ravel()]))


def _contenders(belief: UtilityBelief, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of `rows` that can win: whose best is not below somebody's worst."""
    ends = _distributions(belief, rows)[1](_ENDS)
    return rows[ends[:, 1] >= ends[:, 0].max()] if len(rows) > 1 else rows
