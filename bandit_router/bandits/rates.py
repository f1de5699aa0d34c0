"""What every arm costs, or how long it takes, at a place: a multiplicative hierarchy."""

from __future__ import annotations

import numpy as np

from ..compiled import compiled
from .arms import LISTED
from .belief import Array, Rows
from .credit import CN, C

_STRENGTH = 10.0  # bills of an arm here that weigh as much as what holds elsewhere
_DOUBT = 0.1  # squared coefficient of variation of a list price or a single bill


@compiled
def rates(
    out: Array, at: int, arms: Array, row: int, sums: Array, rows: Rows, kernel: Array, starts: Rows
) -> None:
    """Write mean and variance of each arm's mean cost (or latency).

    A place scales all arms together (long prompts cost more everywhere), then each arm has a
    residual of its own. Arms that were never billed are guessed from their list prices, scaled by
    what the others' bills came to beside theirs: where answers are short, they are for all.

    Parameters
    ----------
    out, at
        Takes the means in this row, and the variances in the next.
    arms
        Shape (`ARM_ROWS`, arms), see `arms`.
    row
        Of the sums: that of the count; the sum and the sum of squares follow it.
    sums, rows, kernel, starts
        The clusters around the place, see `pooled.believe`.
    """
    mean, var = out[at], out[at + 1]
    count, sum_, square = arms[row], arms[row + 1], arms[row + 2]
    size, bills, spent, beside = len(count), 0.0, 0.0, 1.0
    for a in range(size):
        bills += count[a]
        spent += sum_[a]
    if bills > 0 and row == CN:
        beside = _beside(arms)
    for a in range(size):
        guess = arms[LISTED, a] if row == CN else np.nan  # of a latency there is none
        if count[a] > 0:
            mean[a] = sum_[a] / count[a]
        elif bills > 0:
            mean[a] = spent / bills if np.isnan(guess) else beside * guess
        else:
            mean[a] = guess
        var[a] = _DOUBT * mean[a] * mean[a]
        if count[a] > 0:
            spread = max(square[a] / count[a] - mean[a] * mean[a], 0.0)
            var[a] = (spread + var[a]) / (count[a] + 1.0)
    if bills == 0:
        return
    typical = 0.0
    for a in range(size):
        typical += mean[a] * count[a]
    pseudo = _STRENGTH * typical / bills
    here = np.empty((2, size))
    for level in range(len(starts) - 1):
        expected, seen = pseudo, pseudo
        for a in range(size):
            n, s = 0.0, 0.0
            for i in range(starts[level], starts[level + 1]):
                n += kernel[i] * sums[rows[i], row, a]
                s += kernel[i] * sums[rows[i], row + 1, a]
            here[0, a], here[1, a] = n, s
            expected += n * mean[a]
            seen += s
        scale = seen / expected if expected else 1.0
        for a in range(size):
            base = scale * mean[a]
            mean[a] = base + (here[1, a] - here[0, a] * base) / (here[0, a] + _STRENGTH)


@compiled
def _beside(arms: Array) -> float:
    """Return what was billed beside what the list prices foretold, with one typical bill more."""
    billed, expected, listed, known = 0.0, 0.0, 0.0, 0
    for a in range(arms.shape[1]):
        if arms[CN, a] > 0 and not np.isnan(arms[LISTED, a]):
            billed += arms[C, a]
            expected += arms[CN, a] * arms[LISTED, a]
            listed += arms[LISTED, a]
            known += 1
    pseudo = listed / known if known else 0.0
    return (billed + pseudo) / (expected + pseudo) if expected + pseudo else 1.0


@compiled
def mean_costs(arms: Array) -> Array:
    """Return what each arm was billed in the mean, else its list price, shape (arms,)."""
    out = np.empty(arms.shape[1])
    for a in range(len(out)):
        out[a] = arms[C, a] / arms[CN, a] if arms[CN, a] > 0 else arms[LISTED, a]
    return out


@compiled
def dearest(arms: Array) -> float:
    """Return the highest of the `mean_costs`, 0 if none is known."""
    most = 0.0
    for usd in mean_costs(arms):
        if np.isfinite(usd) and usd > most:
            most = usd
    return float(most)
