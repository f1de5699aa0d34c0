"""Our DBSTREAM gives River's results."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from river import cluster

from bandit_router.clustering import DBSTREAM


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


def test_another_feature_is_refused() -> None:
    model = DBSTREAM()
    model.learn_one({"a": 1.0})
    with pytest.raises(ValueError, match="lacks the feature"):
        model.learn_one({"b": 1.0})
