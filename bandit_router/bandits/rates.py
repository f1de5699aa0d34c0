"""What every arm costs, or how long it takes, at a place: a multiplicative hierarchy."""

from __future__ import annotations

import numpy as np

from ..compiled import compiled
from .belief import Array, Rows
from .credit import CN, C

_STRENGTH = 10.0  # bills of an arm here that weigh as much as what holds elsewhere
_DOUBT = 0.1  # squared coefficient of variation of a list price or a single bill


@compiled
def rates(
    total: Array, guess: Array, row: int, sums: Array, rows: Rows, kernel: Array, starts: Rows
) -> Array:
    """Return mean and variance of each arm's mean cost (or latency), shape (2, arms).

    A place scales all arms together (long prompts cost more everywhere), then each arm has a
    residual of its own. Arms that were never billed are guessed from their list prices, scaled by
    what the others' bills came to beside theirs: where answers are short, they are for all.

    Parameters
    ----------
    total
        Sums over the whole map, shape (`ROWS`, arms).
    guess
        What is believed before any evidence, from list prices; nan: nothing.
    row
        Of the sums: that of the count; the sum and the sum of squares follow it.
    sums, rows, kernel, starts
        The clusters around the place, see `pooled.believe`.
    """
    count, sum_, square = total[row], total[row + 1], total[row + 2]
    arms, bills, spent = len(count), count.sum(), sum_.sum()
    out = np.empty((2, arms))
    mean, var = out
    if bills == 0:
        for a in range(arms):
            mean[a], var[a] = guess[a], _DOUBT * guess[a] * guess[a]
        return out
    beside = _beside(count, sum_, guess)
    for a in range(arms):
        if count[a] > 0:
            mean[a] = sum_[a] / count[a]
        else:
            mean[a] = spent / bills if np.isnan(guess[a]) else beside * guess[a]
        var[a] = _DOUBT * mean[a] * mean[a]
        if count[a] > 0:
            spread = max(square[a] / count[a] - mean[a] * mean[a], 0.0)
            var[a] = (spread + var[a]) / (count[a] + 1.0)
    typical = 0.0
    for a in range(arms):
        typical += mean[a] * count[a]
    pseudo = _STRENGTH * typical / bills
    n, s = np.empty(arms), np.empty(arms)
    for level in range(len(starts) - 1):
        n[:], s[:] = 0.0, 0.0
        for i in range(starts[level], starts[level + 1]):
            held, k = sums[rows[i]], kernel[i]
            for a in range(arms):
                n[a] += k * held[row, a]
                s[a] += k * held[row + 1, a]
        expected, seen = pseudo, pseudo
        for a in range(arms):
            expected += n[a] * mean[a]
            seen += s[a]
        scale = seen / expected if expected else 1.0
        for a in range(arms):
            base = scale * mean[a]
            mean[a] = base + (s[a] - n[a] * base) / (n[a] + _STRENGTH)
    return out


@compiled
def _beside(count: Array, sum_: Array, guess: Array) -> float:
    """Return what was billed beside what the list prices foretold, with one typical bill more."""
    billed, expected, listed, arms = 0.0, 0.0, 0.0, 0
    for a in range(len(count)):
        if count[a] > 0 and not np.isnan(guess[a]):
            billed += sum_[a]
            expected += count[a] * guess[a]
            listed += guess[a]
            arms += 1
    pseudo = listed / arms if arms else 0.0
    return (billed + pseudo) / (expected + pseudo) if expected + pseudo else 1.0


@compiled
def mean_costs(total: Array, listed: Array) -> Array:
    """Return what each arm was billed in the mean, else its list price, shape (arms,)."""
    out = np.empty(len(listed))
    for a in range(len(listed)):
        out[a] = total[C, a] / total[CN, a] if total[CN, a] > 0 else listed[a]
    return out


@compiled
def dearest(total: Array, listed: Array) -> float:
    """Return the highest of the `mean_costs`, 0 if none is known."""
    most = 0.0
    for usd in mean_costs(total, listed):
        if np.isfinite(usd) and usd > most:
            most = usd
    return float(most)
