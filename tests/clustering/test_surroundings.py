"""What lies around a prompt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.clustering import ClusterMap
from bandit_router.clustering.nearest import MOST, Array, around, nearest
from bandit_router.clustering.surroundings import parts
from bandit_router.config import ClustererSettings


def _nearest(centers: Array, x: Array, most: int) -> tuple[list[int], Array]:
    rows, squares = np.empty(most, np.int64), np.empty(most)
    count = nearest(centers, x, rows, squares)
    return rows[:count].tolist(), squares[:count]


@given(
    st.integers(0, 300),
    st.integers(1, 80),
    st.booleans(),
    st.sampled_from([0.0, 0.2, 0.9]),
    st.integers(0, 2**32 - 1),
)
def test_the_nearest_rows_are_the_nearest(
    size: int, most: int, ties: bool, broken: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    centers, x = rng.normal(size=(size, 5)), rng.normal(size=5)
    if ties:
        centers, x = centers.round(), x.round()
    centers[rng.random(size) < broken] = rng.choice([np.nan, np.inf])
    rows, squares = _nearest(centers, x, most)
    exact = ((centers - x) ** 2).sum(axis=1)
    exact[np.isnan(exact)] = np.inf
    assert exact[rows] == pytest.approx(np.sort(exact)[:most])
    assert squares == pytest.approx(exact[rows])
    assert len(set(rows)) == len(rows)
    if ties:  # of which numpy, too, makes no rounding errors
        assert rows == np.argsort(exact, kind="stable")[:most].tolist()


@pytest.mark.parametrize(("bandwidth", "falls"), [(0.4, True), (0.0, False)])
def test_the_kernel_is_one_for_the_nearest_and_falls(bandwidth: float, falls: bool) -> None:
    centers = np.array([[0.3], [0.5], [0.9]])
    ids, kernel = np.zeros(4, np.int64), np.zeros(4)
    count, distance = around(centers, np.array([7, 8, 9]), np.zeros(1), bandwidth, ids, kernel)
    assert (count, distance) == (3, pytest.approx(0.3))
    assert ids[:3].tolist() == [7, 8, 9]
    assert kernel[0] == 1.0
    expected = [np.exp(-(d * d - 0.09) / 0.32) if falls else 0.0 for d in (0.5, 0.9)]
    assert kernel[1:3] == pytest.approx(expected)


def test_nothing_is_around_on_an_empty_map() -> None:
    ids, kernel = np.zeros(4, np.int64), np.zeros(4)
    nothing = np.zeros(0, np.int64)
    assert around(np.zeros((0, 1)), nothing, np.zeros(1), 0.4, ids, kernel) == (0, np.inf)


@pytest.mark.parametrize("radii", [(1.1, 0.7), (2, 1)])
@pytest.mark.parametrize("name", ["dbstream", "kmeans", "clustream"])
def test_the_path_of_a_survey_is_where_the_map_locates(name: str, radii: tuple) -> None:
    map_ = ClusterMap(ClustererSettings(name=name, resolutions=radii))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for step in range(400):
        z = rng.normal(size=6)
        z /= np.linalg.norm(z)
        here = map_.survey(z, 0.4)
        assert here.path == map_.locate(z)
        starts, ids, kernel, place = parts(here.words)
        assert len(ids) == len(kernel) == starts[-1]
        assert (np.diff(starts) <= MOST).all()
        assert place.tolist() == z.tolist()
        assert here.dimension == len(z)
        map_.learn(z, step + 1, float(step))


@pytest.mark.parametrize("far", [np.nan, np.inf, 1e200])
def test_rows_are_rows_whatever_the_numbers(far: float) -> None:
    centers = np.arange(6.0).reshape(3, 2)
    assert sorted(_nearest(centers, np.array([far, 0.0]), 3)[0]) == [0, 1, 2]
    centers[1] = far
    rows, squares = _nearest(centers, np.zeros(2), 3)
    assert rows == [0, 2, 1]
    assert squares[2] == np.inf
    ids, kernel = np.zeros(2, np.int64), np.zeros(2)
    assert around(centers, np.array([7, 8, 9]), np.full(2, far), 0.5, ids, kernel)[0] == 2
    assert set(ids.tolist()) <= {7, 8, 9}


def test_a_point_of_another_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        _nearest(np.zeros((3, 40)), np.zeros(2), 1)
