"""Small positive definite systems, solved in machine code: numpy's own calls take far longer."""

from __future__ import annotations

import numpy as np

from ..compiled import compiled, reordered
from .belief import Array


@compiled
def solve(matrix: Array, x: Array) -> bool:
    """Solve ``matrix @ x = right side`` by Cholesky's decomposition, both in place.

    Parameters
    ----------
    matrix
        Symmetric, shape (n, n), of which the lower half is read; afterwards that holds the factor.
    x
        The right side, shape (n,); afterwards the solution.

    Returns
    -------
    bool
        False if the matrix is not positive definite; there is no solution then.
    """
    n = len(x)
    for i in range(n):
        for j in range(i):
            matrix[i, j] = (matrix[i, j] - _product(matrix[i], matrix[j], j)) / matrix[j, j]
        pivot = matrix[i, i] - _product(matrix[i], matrix[i], i)
        if not pivot > 0.0:
            return False
        matrix[i, i] = np.sqrt(pivot)
        x[i] = (x[i] - _product(matrix[i], x, i)) / matrix[i, i]
    for i in range(n - 1, -1, -1):
        x[i] /= matrix[i, i]
        for j in range(i):
            x[j] -= matrix[i, j] * x[i]
    return True


@reordered
def _product(a: Array, b: Array, n: int) -> float:
    """Return the product of the first `n` numbers of two rows."""
    total = 0.0
    for i in range(n):
        total += a[i] * b[i]
    return total
