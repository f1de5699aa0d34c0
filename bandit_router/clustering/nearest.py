"""The centres nearest to a point, and how much each says of it; in machine code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, reordered

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@compiled
def nearest(centers: Array, x: Array, most: int) -> tuple[Rows, Array]:
    """Return up to `most` rows of `centers`, nearest first (equals in order), and distances.

    What is infinitely far, or no number at all, comes last: a row is a row whatever the numbers.

    Parameters
    ----------
    centers
        Shape (n, dimension).
    x
        Shape (dimension,).
    """
    n, dimension = centers.shape
    if n and len(x) != dimension:
        raise ValueError("a point and the centres must have one dimension")
    size = min(most, n)
    rows, squares, found = np.empty(size, np.int64), np.empty(size), 0
    for row in range(n):
        square = squared(centers[row], x)
        if not square >= 0.0:
            square = np.inf
        if found < size or square < squares[size - 1]:
            place = min(found, size - 1)
            found = place + 1
            while place > 0 and square < squares[place - 1]:
                squares[place], rows[place] = squares[place - 1], rows[place - 1]
                place -= 1
            squares[place], rows[place] = square, row
    return rows, np.sqrt(squares)


@reordered
def squared(a: Array, b: Array) -> float:
    """Return the squared distance of two points."""
    square = 0.0
    for i in range(len(a)):
        apart = a[i] - b[i]
        square += apart * apart
    return square


@compiled
def around(
    centers: Array, ids: Rows, x: Array, bandwidth: float, near: Rows, kernel: Array
) -> tuple[int, float]:
    """Write the clusters nearest to `x`, and how much each counts beside the nearest.

    Parameters
    ----------
    centers, ids
        Of the clusters, shape (n, dimension) and (n,).
    bandwidth
        How far, as a distance, a cluster counts; with 0 only the nearest does.
    near, kernel
        Take the ids, nearest first, and ``exp(-(d^2 - d_nearest^2) / (2 bandwidth^2))``; as many
        as fit.

    Returns
    -------
    tuple
        How many were written, and the distance of the nearest.
    """
    rows, distances = nearest(centers, x, len(near))
    for i in range(len(rows)):
        near[i] = ids[rows[i]]
        kernel[i] = 1.0 if i == 0 else 0.0
        if i and bandwidth > 0:
            apart = distances[i] * distances[i] - distances[0] * distances[0]
            kernel[i] = np.exp(-apart / (2.0 * bandwidth * bandwidth))
    return len(rows), distances[0] if len(rows) else np.inf


@compiled
def survey(
    levels: tuple[tuple[Rows, Array], ...], x: Array, bandwidth: float, most: int
) -> tuple[Rows, Array, Rows, Array]:
    """Return the clusters nearest to `x` at every level; see `around`.

    Parameters
    ----------
    levels
        Ids and centres of each.
    most
        Clusters of one level, at the most.

    Returns
    -------
    tuple
        Ids and kernel of them all, level after level, shape (n,); where those of each level
        start, shape (levels + 1,); distance of its nearest, infinite where it has none, (levels,).
    """
    ids, kernel = np.empty(most * len(levels), np.int64), np.empty(most * len(levels))
    starts, distances = np.zeros(len(levels) + 1, np.int64), np.empty(len(levels))
    for i in range(len(levels)):
        own, centers = levels[i]
        start = starts[i]
        count, distances[i] = around(
            centers, own, x, bandwidth, ids[start : start + most], kernel[start : start + most]
        )
        starts[i + 1] = start + count
    return ids[: starts[-1]], kernel[: starts[-1]], starts, distances
