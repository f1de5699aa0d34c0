"""Our DBSTREAM gives River's results."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import cluster
from river.checks import check_estimator

from bandit_router.clustering import DBSTREAM
from bandit_router.clustering.matrix import CenterMatrix
from bandit_router.embedding import shipped_projection
from bandit_router.service import demo
from simulations.equality import compare, difference


def stream(n: int, dimension: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((12, dimension))
    out = centers[rng.integers(12, size=n)] + 0.5 * rng.standard_normal((n, dimension))
    return out / np.linalg.norm(out, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("dimension", "threshold", "fading", "gap"),
    [(4, 0.5, 0.01, 2), (24, 0.9, 0.001, 50), (384, 0.8, 0.0005, 200)],
)
def test_results_are_those_of_river(
    dimension: int, threshold: float, fading: float, gap: int
) -> None:
    arguments = {
        "clustering_threshold": threshold,
        "fading_factor": fading,
        "cleanup_interval": gap,
    }
    ours, theirs = DBSTREAM(**arguments), cluster.DBSTREAM(**arguments)
    for step, row in enumerate(stream(600, dimension, seed=dimension)):
        x = dict(enumerate(row.tolist()))
        ours.learn_one(x)
        theirs.learn_one(x)
        if step % 150 == 149:
            assert ours.predict_one(x) == theirs.predict_one(x)
    assert list(ours._micro_clusters) == list(theirs._micro_clusters)
    assert ours.s.keys() == theirs.s.keys()
    for id_, micro in theirs._micro_clusters.items():
        mine = ours._micro_clusters[id_]
        assert mine.weight == pytest.approx(micro.weight, abs=1e-9)
        assert mine.last_update == micro.last_update
        assert list(mine.center.values()) == pytest.approx(list(micro.center.values()), abs=1e-9)
    for i, row in theirs.s.items():
        assert ours.s[i] == pytest.approx(row, abs=1e-9)


def test_it_clones_and_pickles() -> None:
    model = DBSTREAM(clustering_threshold=0.7)
    for row in stream(50, 6, seed=0):
        model.learn_one(dict(enumerate(row.tolist())))
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301
    x = dict(enumerate(stream(1, 6, seed=5)[0].tolist()))
    assert copy.predict_one(x) == model.predict_one(x)
    assert model.clone().clustering_threshold == 0.7


def test_the_bound_is_kept_by_merging_the_closest() -> None:
    model = DBSTREAM(
        clustering_threshold=0.1, fading_factor=1e-6, cleanup_interval=500, max_micro_clusters=20
    )
    total = 0
    for row in stream(200, 6, seed=1):
        model.learn_one(dict(enumerate(row.tolist())))
        total += 1
        assert len(model._micro_clusters) <= 20
    assert sum(m.weight for m in model._micro_clusters.values()) >= total * 0.99


def real(steps: int, dimension: int) -> np.ndarray:
    """MiniLM embeddings of the demo's prompts, in a new order each pass, a little off each time."""
    file = Path(demo.__file__).parent / "table" / "minilm.npz"
    with np.load(file) as data:
        vectors = next(iter(data.values())).astype(np.float64)
    rng = np.random.default_rng(7)
    rows = vectors[rng.integers(len(vectors), size=steps)]
    rows = rows + 0.02 * rng.standard_normal(rows.shape)
    if dimension < rows.shape[1]:
        projection = shipped_projection("minilm")
        assert projection is not None
        rows = (rows - projection.mean) @ projection.components[:dimension].T
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("dimension", "threshold", "fading", "gap"),
    [(32, 0.7, 0.004, 40), (32, 1.0, 0.01, 2), (384, 1.05, 0.004, 40), (384, 0.9, 0.01, 2)],
)
def test_results_on_real_embeddings_are_those_of_river(
    dimension: int, threshold: float, fading: float, gap: int
) -> None:
    settings = {
        "clustering_threshold": threshold,
        "fading_factor": fading,
        "cleanup_interval": gap,
    }
    found = compare(real(1200, dimension), settings, every=100)
    assert found["worst_difference"] < 1e-9
    assert found["predictions_that_differ"] == 0


def test_it_passes_what_river_asks_of_an_estimator() -> None:
    check_estimator(DBSTREAM())
    check_estimator(DBSTREAM(max_micro_clusters=50))


@pytest.mark.parametrize("fading", [-0.01, 0.0])
def test_odd_fading_is_rivers_own(fading: float) -> None:
    settings = {"clustering_threshold": 0.5, "fading_factor": fading, "cleanup_interval": 7}
    found = compare(stream(300, 8, seed=3), settings, every=50)
    assert found["worst_difference"] < 1e-9
    assert found["predictions_that_differ"] == 0


@pytest.mark.parametrize("before", [5, 200])
def test_other_features_are_learnt_as_river_does(before: int) -> None:
    ours, theirs = (k(clustering_threshold=0.3) for k in (DBSTREAM, cluster.DBSTREAM))
    for row in stream(before, 6, seed=1).tolist():
        for model in (ours, theirs):
            model.learn_one(dict(enumerate(row)))
    shuffled = {3: 0.1, 1: 0.2, 2: 0.3, 0: 0.4, 5: 0.5, 4: 0.6}
    for x in (shuffled, {0: 0.5, 7: 0.5}, {0: 0.1, 1: 1.0}, shuffled):
        for model in (ours, theirs):
            model.learn_one(dict(x))
        assert ours.predict_one(dict(x)) == theirs.predict_one(dict(x))
    assert difference(ours, theirs) < 1e-9


def test_with_a_bound_other_features_are_refused() -> None:
    model = DBSTREAM(max_micro_clusters=5)
    model.learn_one({"a": 1.0})
    with pytest.raises(ValueError, match="same features"):
        model.learn_one({"b": 1.0})


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 30), st.integers(1, 5))
def test_the_closest_pair_is_the_closest_whatever_happened_before(
    seed: int, rows: int, dimension: int
) -> None:
    rng = np.random.default_rng(seed)
    matrix = CenterMatrix(list(range(dimension)))
    for id_ in range(rows):
        matrix.append(id_, rng.standard_normal(dimension), 1.0, 0.0)
    for _ in range(20):
        matrix.move_one(int(rng.integers(matrix.size)), rng.standard_normal(dimension))
        if matrix.size > 3 and rng.random() < 0.3:
            keep = np.ones(matrix.size, dtype=bool)
            keep[rng.integers(matrix.size)] = False
            matrix.keep(keep)
        a, b = matrix.closest_pair()
        distances = np.linalg.norm(matrix.centers[:, None] - matrix.centers, axis=2)
        np.fill_diagonal(distances, np.inf)
        assert distances[a, b] == pytest.approx(distances.min(), abs=1e-12)


def test_huge_numbers_are_no_obstacle() -> None:
    settings = {"clustering_threshold": 1e20, "fading_factor": 0.01, "cleanup_interval": 20}
    ours, theirs = DBSTREAM(**settings), cluster.DBSTREAM(**settings)
    for row in (1e20 * stream(300, 8, seed=3)).tolist():
        for model in (ours, theirs):
            model.learn_one(dict(enumerate(row)))
    assert list(ours.micro_clusters) == list(theirs.micro_clusters)
