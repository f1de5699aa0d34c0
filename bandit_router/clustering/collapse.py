"""How DBSTREAM keeps neighbouring centres from falling into one."""

from __future__ import annotations

import math

import numpy as np
from river.utils.math import minkowski_distance

from .attract import TIE
from .nearest import Array

_UNSURE = 1e-7


def prevent_collapse(old: Array, new: Array, threshold: float) -> None:
    """Take centres in `new` back to `old` where two of them came too close, in place.

    River goes through the pairs in order and looks at centres already taken back, so the
    outcome depends on that order; it is kept.
    """
    n = len(new)
    if n == 2:
        if _too_close(new[0], new[1], threshold):
            new[:] = old
        return
    if (_pairwise(new) < threshold * (1 + _UNSURE)).sum() == n:  # the diagonal only
        return
    both = np.concatenate([new, old])
    distances = _pairwise(both)
    close = distances < threshold
    unsure = np.abs(distances - threshold) <= _UNSURE * threshold
    place = list(range(n))
    for a in range(n):
        for b in range(a + 1, n):
            p, q = place[a], place[b]
            if _too_close(both[p], both[q], threshold) if unsure[p, q] else close[p, q]:
                place[a], place[b] = n + a, n + b
    new[:] = both[place]


def river_distance(a: Array, b: Array) -> float:
    """Return the distance as River computes it."""
    return float(minkowski_distance(dict(enumerate(a.tolist())), dict(enumerate(b.tolist())), 2))


def _too_close(a: Array, b: Array, threshold: float) -> bool:
    difference = a - b
    distance = math.sqrt(difference @ difference)
    if abs(distance - threshold) <= TIE * threshold:
        distance = river_distance(a, b)
    return distance < threshold


def _pairwise(a: Array) -> Array:
    """Distances between the rows of `a`, shape (len(a), len(a)); good to half of the digits."""
    squares = np.vecdot(a, a)
    out: Array = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * (a @ a.T), 0.0))
    return out
