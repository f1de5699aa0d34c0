"""Means and spreads of numbers that come in parts, in memory that does not grow."""

from __future__ import annotations

import math

import numpy as np

from .ope import Array


class Moments:
    """Count, means and co-moments of columns.

    References
    ----------
    Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for computing
    sample variances.

    Examples
    --------
    >>> seen = Moments(2)
    >>> seen.add(np.array([[0.0, 1.0], [1.0, 1.0]]))
    >>> seen.add(np.array([[2.0, 4.0]]))
    >>> seen.mean.tolist(), float(seen.sum_of_squares(0))
    ([1.0, 2.0], 5.0)
    """

    def __init__(self, columns: int) -> None:
        self.count = 0
        self.mean: Array = np.zeros(columns)
        self._cross: Array = np.zeros((columns, columns))

    def add(self, rows: Array) -> None:
        """Take rows, shape (n, columns)."""
        n = len(rows)
        mean = rows.mean(axis=0)
        centred = rows - mean
        gap = mean - self.mean
        total = self.count + n
        self._cross += centred.T @ centred + np.outer(gap, gap) * (self.count * n / total)
        self.mean += gap * (n / total)
        self.count = total

    def deviation(self, weights: Array, *, ddof: int = 1) -> float:
        """Return the standard deviation of a weighted sum of the columns."""
        square = float(weights @ self._cross @ weights)
        return math.sqrt(max(0.0, square) / (self.count - ddof)) if self.count > ddof else math.nan

    def sum_of_squares(self, column: int) -> float:
        """Return the sum of a column's squares."""
        return float(self._cross[column, column]) + self.count * float(self.mean[column]) ** 2
