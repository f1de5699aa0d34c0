"""How DBSTREAM's micro-clusters are drawn to an observation; in machine code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, reordered
from ..handed import line, table
from .nearest import Array, Rows, squared

HUGE = 1e30
"""Squares beyond do not fit a float32."""

TIE = 1e-12
"""Relative; closer than this to the threshold River's own arithmetic decides."""


HANDED = np.float64, np.float32, np.float32, np.bool_, np.float64, np.float64, np.int64
"""Types of what `attract` is handed."""


@compiled
def attract(
    handed: Rows,
    n: int,
    x: Array,
    threshold: float,
    fading: float,
    time: float,
    largest: float,
) -> tuple[int, int, float]:
    """Let `x` draw every centre that is closer than the threshold; all in place.

    Parameters
    ----------
    handed
        Of the micro-clusters, see `Handed`: centers, rough, half and dirty as `place` takes them,
        then weights, updated and near, shape (n or more,). `rough` rules out most at half the
        cost, with a slack above its rounding; `near` takes the rows that are drawn, ascending.
    n
        How many there are.
    fading
        Exponent of the fading of weights, per unit of time.
    largest
        An upper bound of the squares of the centres.

    Returns
    -------
    tuple
        How many are drawn, -1 where a distance is too close to the threshold to tell: then nothing
        was altered; the row that is nearest to `x` then (the first of equals), -1 if none was
        drawn; and an upper bound of the squares of the centres as they are now.

    Notes
    -----
    As in Algorithm 1 of Hahsler and Bolaños (2016) and in River: a centre moves by a Gaussian
    kernel of its distance, and two that would come too close to one another stay where they were.
    Pairs are looked at in order, centres already taken back as they are.
    """
    centers, rough = table(handed, 0, np.float64), table(handed, 1, np.float32)
    half, dirty = line(handed, 2, np.float32), line(handed, 3, np.bool_)
    weights, updated = line(handed, 4, np.float64), line(handed, 5, np.float64)
    near = line(handed, 6, np.int64)
    dimension = centers.shape[1]
    distances, count = np.empty(n), 0
    about, most = x.astype(np.float32), threshold * threshold + rounding(x, largest)
    for row in range(n):
        if most < np.inf and _roughly(rough[row], about) > most:
            continue
        distance = _distance(centers[row], x)
        if abs(distance - threshold) <= TIE * threshold:
            return -1, -1, largest
        if distance < threshold:
            near[count], distances[count] = row, distance
            count += 1
    sigma = threshold / 3.0
    new = np.empty((count, dimension))
    for i in range(count):
        pull = np.exp(-(distances[i] * distances[i]) / (2.0 * (sigma * sigma)))
        for j in range(dimension):
            old = centers[near[i], j]
            new[i, j] = old + pull * (x[j] - old)
    for a in range(count):
        for b in range(a + 1, count):
            distance = _distance(new[a], new[b])
            if abs(distance - threshold) <= TIE * threshold:
                return -1, -1, largest
            if distance < threshold:
                for j in range(dimension):
                    new[a, j], new[b, j] = centers[near[a], j], centers[near[b], j]
    for i in range(count):
        row = near[i]
        weights[row] = weights[row] * 2.0 ** (-fading * (time - updated[row])) + 1.0
        updated[row] = time
    largest = max(largest, place(centers, rough, half, dirty, near[:count], new))
    held, least = -1, np.inf
    for i in range(count):
        square = squared(centers[near[i]], x)
        if square < least:
            held, least = near[i], square
    return count, held, largest


@compiled
def rounding(x: Array, largest: float) -> float:
    """Return how far off a squared distance of `x` may be in single precision.

    Parameters
    ----------
    largest
        An upper bound of the squares of the centres.
    """
    scale = largest
    for i in range(len(x)):
        scale += x[i] * x[i]
    return 3e-7 * (len(x) + 8) * scale if scale < HUGE else np.inf


@compiled
def place(
    centers: Array,
    rough: NDArray[np.float32],
    half: NDArray[np.float32],
    dirty: NDArray[np.bool_],
    rows: Rows,
    new: Array,
) -> float:
    """Set the centres of `rows`, and what follows from them; return the largest square.

    Parameters
    ----------
    centers, rough
        Shape (n, dimension), twice; `rough` is a copy in single precision.
    half
        Half the squares, shape (n,).
    dirty
        Whether a centre has moved, shape (n,).
    """
    largest = 0.0
    for i in range(len(rows)):
        row, square = rows[i], 0.0
        for j in range(new.shape[1]):
            centers[row, j] = new[i, j]
            rough[row, j] = new[i, j]
            square += new[i, j] * new[i, j]
        half[row], dirty[row] = 0.5 * min(square, HUGE), True
        largest = max(largest, square)
    return largest


@reordered
def _roughly(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    square = np.float32(0.0)
    for i in range(len(a)):
        apart = a[i] - b[i]
        square += apart * apart
    return square


@compiled
def _distance(a: Array, b: Array) -> float:
    return float(np.sqrt(squared(a, b)))
