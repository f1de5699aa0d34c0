"""The probability that each of several normal draws is the highest; in machine code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..compiled import compiled
from .belief import Array

MOST = 400
"""Points that the integral is summed over, at the most."""

MIN_SD = 1e-9
"""Of a posterior, so that there is one."""

_FAR = 7.0  # standard deviations: beyond lies less than 1e-11
_STEP = 0.5  # of the narrowest posterior
_CELLS = 4096
_SCALE = _CELLS / (2.0 * _FAR)
_AT = np.linspace(-_FAR, _FAR, _CELLS + 1)
NORMAL = np.stack(  # the distribution function, and the density
    [
        np.append(ndtr(_AT), 1.0),
        np.append(np.exp(-0.5 * _AT * _AT) / np.sqrt(2.0 * np.pi), 0.0),
    ]
)
"""Tables of the normal distribution."""


def highest(moments: Array, eligible: NDArray[np.bool_]) -> Array | None:
    """Return the probability that each eligible draw is the highest, shape (arms,).

    Parameters
    ----------
    moments
        Means and variances of the draws, shape (2, arms).
    eligible
        The others get 0.

    Returns
    -------
    Array or None
        Summing to 1; None where posteriors are so unlike in width that `MOST` points cannot
        resolve the narrowest on the range of the widest.

    Notes
    -----
    ``P(a) = integral of f_a(x) prod over b != a of F_b(x)`` by the trapezoidal rule, whose error
    falls exponentially with the step for a smooth integrand that vanishes at both ends
    (Trefethen and Weideman, 2014): at half the narrowest standard deviation, what is left is the
    error of the tables of the normal distribution, below 1e-6.
    """
    out = np.zeros(moments.shape[1])
    return out if highest_of(moments, eligible, NORMAL, out) else None


@compiled
def highest_of(moments: Array, eligible: NDArray[np.bool_], normal: Array, out: Array) -> bool:
    """Add to `out`, all zeros, what `highest` returns; tell whether that can be found."""
    mean, arms = moments[0], moments.shape[1]
    cdf, density = normal[0], normal[1]
    sd = np.sqrt(moments[1]) + MIN_SD
    low, high, narrow = -np.inf, -np.inf, np.inf
    for a in range(arms):
        if eligible[a]:
            low = max(low, mean[a] - _FAR * sd[a])
            high = max(high, mean[a] + _FAR * sd[a])
    rows = np.empty(arms, np.int64)  # those that can win
    count = 0
    for a in range(arms):
        if eligible[a] and mean[a] + _FAR * sd[a] >= low:
            rows[count] = a
            count += 1
            narrow = min(narrow, sd[a])
    if count == 1:
        out[rows[0]] = 1.0
        return True
    points = int((high - low) / (_STEP * narrow)) + 2
    if points > MOST:
        return False
    step = (high - low) / (points - 1)
    below, beside = np.empty(count), np.empty(count)
    for point in range(points):
        x = low + point * step
        product = 1.0
        for i in range(count):
            at = ((x - mean[rows[i]]) / sd[rows[i]] + _FAR) * _SCALE
            if at >= _CELLS:
                below[i], beside[i] = 1.0, 0.0
            elif at <= 0.0:
                below[i], beside[i] = 0.0, 0.0
            else:
                cell = int(at)
                part = at - cell
                below[i] = cdf[cell] + part * (cdf[cell + 1] - cdf[cell])
                beside[i] = density[cell] + part * (density[cell + 1] - density[cell])
            below[i] = max(below[i], 1e-300)
            product *= below[i]
        for i in range(count):
            out[rows[i]] += beside[i] / sd[rows[i]] * (product / below[i])
    out /= out.sum()
    return True
