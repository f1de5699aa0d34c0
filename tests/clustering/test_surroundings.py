"""What lies around a prompt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.clustering import ClusterMap
from bandit_router.clustering.matrix import CenterMatrix
from bandit_router.clustering.surroundings import MOST, kernel
from bandit_router.config import ClustererSettings


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_the_nearest_rows_are_the_nearest(size: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = CenterMatrix(list(range(5)))
    for i in range(size):
        matrix.append(i, rng.normal(size=5), 1.0, 0.0)
    x = rng.normal(size=5)
    rows, distances = matrix.near(x, most)
    exact = np.linalg.norm(matrix.centers - x, axis=1)
    assert rows.tolist() == np.argsort(exact, kind="stable")[:most].tolist()
    assert distances == pytest.approx(exact[rows])


def test_the_kernel_is_one_for_the_nearest_and_falls() -> None:
    weights = kernel(np.array([0.3, 0.5, 0.9]), 0.4)
    assert weights[0] == 1.0
    assert (np.diff(weights) < 0).all()
    assert kernel(np.array([0.3, 0.5]), 0.0).tolist() == [1.0, 0.0]
    assert kernel(np.zeros(0), 0.4).tolist() == []


@pytest.mark.parametrize("name", ["dbstream", "kmeans", "clustream"])
def test_the_path_of_a_survey_is_where_the_map_locates(name: str) -> None:
    map_ = ClusterMap(ClustererSettings(name=name, resolutions=(1.1, 0.7)))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for step in range(400):
        z = rng.normal(size=6)
        z /= np.linalg.norm(z)
        here = map_.survey(z, 0.4)
        assert here.path == map_.locate(z)
        for near in here.near:
            assert len(near.ids) == len(near.kernel) <= MOST
        map_.learn(z, step + 1, float(step))
