"""What every arm costs, or how long it takes, at a place: a multiplicative hierarchy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .belief import Array

_STRENGTH = 10.0  # bills of an arm here that weigh as much as what holds elsewhere
_DOUBT = 0.1  # squared coefficient of variation of a list price or a single bill


def rates(total: Array, around: Sequence[tuple[Array, Array]], guess: Array) -> tuple[Array, Array]:
    """Return mean and variance of each arm's mean cost (or latency), shape (arms,).

    A place scales all arms together (long prompts cost more everywhere), then each arm has a
    residual of its own. Arms that were never billed are guessed from their list prices, scaled by
    what the others' bills came to beside theirs: where answers are short, they are for all.

    Parameters
    ----------
    total
        Count, sum and sum of squares over the whole map, shape (3, arms).
    around
        Count and sum around the place at each level, coarsest first, shape (arms,) each.
    guess
        What is believed before any evidence, from list prices; nan: nothing.
    """
    count, sum_, square = total
    if not count.any():
        return guess, _DOUBT * guess * guess
    listed = np.isfinite(guess)
    priced = listed & (count > 0)
    pseudo = float(guess[priced].mean()) if priced.any() else 0.0
    expected = float((count[priced] * guess[priced]).sum()) + pseudo
    beside = (float(sum_[priced].sum()) + pseudo) / expected if expected else 1.0
    mean = np.where(listed, beside * guess, sum_.sum() / count.sum())
    mean = np.where(count > 0, sum_ / np.maximum(count, 1.0), mean)
    spread = np.maximum(square / np.maximum(count, 1.0) - mean * mean, 0.0)
    doubt = _DOUBT * mean * mean
    var = np.where(count > 0, (spread + doubt) / (count + 1), doubt)
    pseudo = _STRENGTH * float((mean * count).sum() / count.sum())
    for n, s in around:
        expected = float(n @ mean) + pseudo
        base = mean * ((float(s.sum()) + pseudo) / expected) if expected else mean
        mean = base + (s - n * base) / (n + _STRENGTH)
    return mean, var
