"""How DBSTREAM's micro-clusters are drawn to an observation; in machine code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, reordered
from .nearest import Array, Rows, squared

TIE = 1e-12
"""Relative; closer than this to the threshold River's own arithmetic decides."""


@compiled
def attract(
    centers: Array,
    rough: NDArray[np.float32],
    weights: Array,
    updated: Array,
    x: Array,
    threshold: float,
    fading: float,
    time: float,
    slack: float,
) -> tuple[Rows, Array, bool]:
    """Let `x` draw every centre that is closer than the threshold; weights and times in place.

    Parameters
    ----------
    centers, rough, weights, updated
        Of the micro-clusters, shape (n, dimension), twice, and (n,), twice; `rough` is a copy in
        single precision, which rules out most at half the cost.
    fading
        Exponent of the fading of weights, per unit of time.
    slack
        How far off a rough squared distance may be.

    Returns
    -------
    tuple
        The rows that are drawn, ascending; where their centres come to lie; whether any distance
        is too close to the threshold to tell: then nothing was altered.

    Notes
    -----
    As in Algorithm 1 of Hahsler and Bolaños (2016) and in River: a centre moves by a Gaussian
    kernel of its distance, and two that would come too close to one another stay where they were.
    Pairs are looked at in order, centres already taken back as they are.
    """
    n, dimension = centers.shape
    near, distances = np.empty(n, np.int64), np.empty(n)
    count = 0
    about, most = x.astype(np.float32), threshold * threshold + slack
    for row in range(n):
        if slack < np.inf and _roughly(rough[row], about) > most:
            continue
        distance = _distance(centers[row], x)
        if abs(distance - threshold) <= TIE * threshold:
            return near[:0], centers[:0], True
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
                return near[:0], centers[:0], True
            if distance < threshold:
                for j in range(dimension):
                    new[a, j], new[b, j] = centers[near[a], j], centers[near[b], j]
    for i in range(count):
        row = near[i]
        weights[row] = weights[row] * 2.0 ** (-fading * (time - updated[row])) + 1.0
        updated[row] = time
    return near[:count].copy(), new, False


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
