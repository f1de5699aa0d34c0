"""Small positive definite systems: numpy's answer, or none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.bandits.cholesky import solve


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 30))
def test_the_solution_is_that_of_numpy(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    half, right = rng.normal(size=(n, n)), rng.normal(size=n)
    matrix = half @ half.T + np.eye(n)
    factor, x = matrix.copy(), right.copy()
    factor[np.triu_indices(n, 1)] = np.nan  # only the lower half is read
    assert solve(factor, x)
    assert x == pytest.approx(np.linalg.solve(matrix, right), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    "matrix", [[[0.0]], [[-1.0]], [[1.0, 2.0], [2.0, 1.0]], [[1.0, np.nan], [np.nan, 1.0]]]
)
def test_what_is_not_positive_definite_has_none(matrix: list[list[float]]) -> None:
    held = np.array(matrix)
    assert not solve(held, np.ones(len(held)))
