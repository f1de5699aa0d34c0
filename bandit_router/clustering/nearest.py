"""The centres nearest to a point, and how much each says of it; in machine code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, reordered
from ..embedding.base import project
from ..handed import line, table

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

MOST = 16
"""Clusters of one level that are looked at, at the most."""

_GROUPS, _HALVINGS = 64, 6


@compiled
def nearest(centers: Array, x: Array, rows: Rows, squares: Array) -> int:
    """Write the rows of `centers` nearest to `x`, nearest first (equals in order).

    What is infinitely far, or no number at all, comes last: a row is a row whatever the numbers.

    Parameters
    ----------
    centers
        Shape (n, dimension).
    x
        Shape (dimension,).
    rows, squares
        Take the rows and their squared distances, as many as fit.

    Returns
    -------
    int
        How many were written.
    """
    n, dimension = centers.shape
    if n and len(x) != dimension:
        raise ValueError("a point and the centres must have one dimension")
    # All distances first: while some are compared, none is computed.
    far = np.empty(n)
    for row in range(n):
        far[row] = squared(centers[row], x)
    size, found = int(min(len(rows), n)), 0
    limit = _limit(far, size) if 1 < size < n else np.inf
    for row in range(n):
        square = far[row]
        if square > limit:  # as most are: to put them in order and out again takes longer
            continue
        if not square >= 0.0:
            square = np.inf
        if found < size or square < squares[size - 1]:
            place = min(found, size - 1)
            found = place + 1
            while place > 0 and square < squares[place - 1]:
                squares[place], rows[place] = squares[place - 1], rows[place - 1]
                place -= 1
            squares[place], rows[place] = square, row
    return size


@compiled
def _limit(squares: Array, size: int) -> float:
    """Return a square that at least `size` of these, and hardly more, do not exceed."""
    least = np.full(_GROUPS, np.inf)  # of each group: every so manyth
    whole = len(squares) // _GROUPS * _GROUPS
    for start in range(0, whole, _GROUPS):
        for g in range(_GROUPS):
            least[g] = squares[start + g] if squares[start + g] < least[g] else least[g]
    for g in range(len(squares) - whole):
        least[g] = squares[whole + g] if squares[whole + g] < least[g] else least[g]
    low, high, groups = 0.0, 0.0, 0
    for g in range(_GROUPS):
        if least[g] < np.inf:
            high = max(high, least[g])
            groups += 1
    if groups < size:
        return np.inf
    for _ in range(_HALVINGS):
        middle, groups = 0.5 * (low + high), 0
        for g in range(_GROUPS):
            groups += least[g] <= middle
        low, high = (low, middle) if groups >= size else (middle, high)
    return high


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
    count = nearest(centers, x, near, kernel)
    if not count:
        return 0, np.inf
    distance = np.sqrt(kernel[0])
    for i in range(count):
        near[i] = ids[near[i]]
        apart = np.sqrt(kernel[i])  # the root and back: so rounded every log was folded
        apart = apart * apart - distance * distance
        if i == 0:
            kernel[i] = 1.0
        else:
            kernel[i] = np.exp(-apart / (2.0 * bandwidth * bandwidth)) if bandwidth > 0 else 0.0
    return count, distance


def room_for(levels: int) -> int:
    """Return how many words a survey of so many levels takes beside the place itself."""
    return 2 * levels + 3 + 2 * levels * MOST


HANDED = np.float64, np.float32, np.float64
"""What a survey is handed, see there, before the arrays of the levels; their types."""

OF_A_LEVEL = np.int64, np.float64
"""Those of each level."""

_FIRST, _EACH = len(HANDED), len(OF_A_LEVEL)


@compiled
def survey(
    handed: Rows,
    projected: bool,
    vector: NDArray[np.float32],
    unborn: int,
    bandwidth: float,
    words: Rows,
) -> None:
    """Write where a vector lies at every level, and the clusters nearest to it; see `around`.

    Parameters
    ----------
    handed
        The radii of the levels, shape (levels,); components and mean of the projection into the
        map's space; ids and centres of each level. See `Handed`.
        A radius is how far from its centre a cluster holds a prompt; where that is finite, a
        prompt that none holds opens one.
    projected
        Whether the vector is to be; else it is in the map's space.
    unborn
        The id of the next cluster to be born.
    words
        Takes what `Surroundings` are made of.
    """
    radii = line(handed, 0, np.float64)
    depth = len(radii)
    room = depth * MOST
    words[0], words[1] = depth, room
    path, starts, ids = words[2 : depth + 2], words[depth + 2 :], words[2 * depth + 3 :]
    numbers = ids[room:].view(np.float64)
    kernel, z = numbers[:room], numbers[room:]
    if projected:
        project(table(handed, 1, np.float32), line(handed, 2, np.float64), vector, z)
    else:
        for i in range(len(z)):
            z[i] = vector[i]
    starts[0] = 0
    for i in range(depth):
        own = line(handed, _FIRST + _EACH * i, np.int64)
        centers = table(handed, _FIRST + _EACH * i + 1, np.float64)
        start = starts[i]
        count, distance = around(
            centers, own, z, bandwidth, ids[start : start + MOST], kernel[start : start + MOST]
        )
        starts[i + 1] = start + count
        path[i] = 0
        if distance < radii[i]:
            path[i] = ids[start]
        elif radii[i] < np.inf:
            path[i] = unborn
            unborn += 1
