"""Our KMeans, STREAMKMeans, CluStream and DenStream give River's results."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from river import cluster
from river.checks import check_estimator

from bandit_router import clustering

CASES: list[tuple[str, dict[str, Any]]] = [
    ("KMeans", {"n_clusters": 12, "halflife": 0.05, "sigma": 0.2, "seed": 3}),
    ("KMeans", {"n_clusters": 5, "p": 1, "seed": 1}),
    ("STREAMKMeans", {"chunk_size": 20, "n_clusters": 6, "sigma": 0.2, "seed": 2}),
    ("STREAMKMeans", {"chunk_size": 1, "n_clusters": 2, "seed": 2}),
    ("CluStream", {"max_micro_clusters": 25, "time_gap": 40, "seed": 0, "sigma": 0.2}),
    ("CluStream", {"max_micro_clusters": 10, "time_window": 30, "time_gap": 25, "seed": 0}),
    ("DenStream", {"epsilon": 0.9, "n_samples_init": 50, "mu": 3, "beta": 0.5}),
    ("DenStream", {"epsilon": 0.4, "n_samples_init": 50, "stream_speed": 5, "mu": 3, "beta": 0.5}),
]


def rows(n: int, dimension: int = 12, seed: int = 0) -> list[dict[int, float]]:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((15, dimension))
    out = centers[rng.integers(15, size=n)] + 0.3 * rng.standard_normal((n, dimension))
    out[n // 2 :: 7] = out[3]  # the same again and again: ties
    return [dict(enumerate(r.tolist())) for r in out / np.linalg.norm(out, axis=1, keepdims=True)]


def centers_of(model: Any) -> list[list[float]]:
    if hasattr(model, "micro_clusters"):
        return [list(mc.center.values()) for mc in model.micro_clusters.values()]
    if hasattr(model, "p_micro_clusters"):
        both = [*model.p_micro_clusters.values(), *model.o_micro_clusters.values()]
        return [list(mc.linear_sum.values()) for mc in both]
    return [list(center.values()) for center in model.centers.values()]


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_results_are_those_of_river(name: str, settings: dict[str, Any]) -> None:
    ours, theirs = getattr(clustering, name)(**settings), getattr(cluster, name)(**settings)
    for step, x in enumerate(rows(700)):
        ours.learn_one(dict(x))
        theirs.learn_one(dict(x))
        if step % 30 == 29:
            assert ours.predict_one(dict(x)) == theirs.predict_one(dict(x))
    mine, stock = centers_of(ours), centers_of(theirs)
    assert len(mine) == len(stock)
    assert np.allclose(mine, stock, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_other_features_are_learnt_as_river_does(name: str, settings: dict[str, Any]) -> None:
    if name == "CluStream":
        settings = {**settings, "max_micro_clusters": 300}  # later River fails on its own
    ours, theirs = getattr(clustering, name)(**settings), getattr(cluster, name)(**settings)
    for x in rows(100):
        ours.learn_one(dict(x))
        theirs.learn_one(dict(x))
    odd = rows(20, seed=4)[0]
    shuffled = dict(reversed(odd.items()))
    for x in (shuffled, {**odd, 99: 0.5}, shuffled):
        if name == "DenStream" and 99 in x:
            continue
        ours.learn_one(dict(x))
        theirs.learn_one(dict(x))
        assert ours.predict_one(dict(x)) == theirs.predict_one(dict(x))


@pytest.mark.parametrize("name", ["KMeans", "STREAMKMeans", "CluStream", "DenStream"])
def test_they_pass_what_river_asks_of_an_estimator(name: str) -> None:
    check_estimator(getattr(clustering, name)())


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_they_clone_and_pickle(name: str, settings: dict[str, Any]) -> None:
    model = getattr(clustering, name)(**settings)
    for x in rows(300):
        model.learn_one(x)
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301
    for x in rows(50, seed=9):
        model.learn_one(x)
        copy.learn_one(x)
    assert centers_of(copy) == centers_of(model)
    assert type(model.clone()) is type(model)
