"""What the clusterers cost, over clusters and dimensions, beside stock River in the same run.

Streams are unit vectors around random topics, one topic a cluster, so that the number of live
clusters is what it says. Ours and stock take turns, step by step.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from river import cluster

from .. import clustering
from ..clustering.level import DbstreamLevel
from ..clustering.matrix import Array
from .run import Run

SIZES = (16, 64, 256, 1024)
DIMENSIONS = (24, 64, 384)
STEPS = 200
LEVELS = ((256, 24), (256, 64), (4096, 24), (4096, 64))

OTHERS: tuple[tuple[str, int, int, dict[str, Any]], ...] = (
    ("KMeans", 64, 24, {"n_clusters": 64, "halflife": 0.05, "sigma": 0.01, "seed": 0}),
    ("KMeans", 64, 384, {"n_clusters": 64, "halflife": 0.05, "sigma": 0.01, "seed": 0}),
    (
        "STREAMKMeans",
        64,
        24,
        {"chunk_size": 20, "n_clusters": 64, "halflife": 0.2, "sigma": 0.01, "seed": 0},
    ),
    ("CluStream", 64, 24, {"max_micro_clusters": 64, "seed": 0, "halflife": 0.2, "sigma": 0.01}),
    ("DenStream", 64, 24, {"epsilon": 0.3, "n_samples_init": 1, "mu": 3, "beta": 0.5}),
)


def figures(progress: Run) -> dict[str, float]:
    """Return microseconds a step (medians; means where steps differ by design) and ratios."""
    out: dict[str, float] = {}
    for dimension, size in itertools.product(DIMENSIONS, SIZES):
        progress(f"DBSTREAM, {size} micro-clusters, {dimension} dimensions")
        out |= _dbstream(size, dimension)
    for name, size, dimension, settings in OTHERS:
        progress(f"{name}, {size} clusters, {dimension} dimensions")
        out |= _other(name, size, dimension, settings)
    for size, dimension in LEVELS:
        progress(f"a level of the map, {size} clusters, {dimension} dimensions")
        out |= _level(size, dimension)
    return out


def topics(size: int, dimension: int, steps: int, seed: int = 0) -> tuple[Array, Array]:
    """Return topic centres, shape (size, dimension), and a stream around them, of unit norm."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((size, dimension))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    noise = rng.standard_normal((steps, dimension)) / np.sqrt(dimension)
    stream = centers[rng.integers(size, size=steps)] + 0.1 * noise
    return centers, stream / np.linalg.norm(stream, axis=1, keepdims=True)


def _dbstream(size: int, dimension: int) -> dict[str, float]:
    settings: dict[str, Any] = {
        "clustering_threshold": 0.3,
        "fading_factor": 1e-4,
        "cleanup_interval": 5000,  # a micro-cluster seen once outlives the run
    }
    ours, stock = clustering.DBSTREAM(**settings), cluster.DBSTREAM(**settings)
    centers, stream = topics(size, dimension, STEPS)
    for center in centers:
        ours.learn_one(_features(center))
    stock._micro_clusters = copy.deepcopy(ours.micro_clusters)
    stock.s, stock.s_t = copy.deepcopy(ours.s), copy.deepcopy(ours.s_t)
    stock._time_stamp = ours._time_stamp
    learn = _turns({"ours": ours.learn_one, "stock": stock.learn_one}, stream)
    name = f"dbstream_learn_us_m{size}_d{dimension}"
    return _beside(name, {who: float(np.median(spent)) for who, spent in learn.items()})


def _other(name: str, size: int, dimension: int, settings: dict[str, Any]) -> dict[str, float]:
    ours, stock = getattr(clustering, name)(**settings), getattr(cluster, name)(**settings)
    _, first = topics(size, dimension, 2 * size)
    for row in first:
        ours.learn_one(_features(row))
        stock.learn_one(_features(row))
    _, stream = topics(size, dimension, STEPS)
    learn = _turns({"ours": ours.learn_one, "stock": stock.learn_one}, stream)
    # A chunk or a merge costs what many steps do not: the mean tells, the median would hide it.
    return _beside(
        f"{name.lower()}_learn_us_m{size}_d{dimension}",
        {who: float(np.mean(spent)) for who, spent in learn.items()},
    )


def _level(size: int, dimension: int) -> dict[str, float]:
    """Learn and locate at one level of the map, its bound reached, one step in ten merging."""
    level, ids = DbstreamLevel(0.3, 50_000, size), itertools.count(1)
    centers, stream = topics(size, dimension, 2000)
    strange, _ = topics(len(stream) // 10, dimension, 0, seed=1)
    for center in centers:
        level.learn(center, lambda: next(ids))
    stream[::10] = strange
    spent = []
    for z in stream:
        start = time.perf_counter()
        level.locate(z)
        level.learn(z, lambda: next(ids))
        spent.append(1e6 * (time.perf_counter() - start))
    name = f"level_learn_locate_us_m{size}_d{dimension}"
    return {f"{name}_p50": float(np.median(spent)), f"{name}_p99": float(np.quantile(spent, 0.99))}


def _turns(learn: dict[str, Callable[[Any], Any]], stream: Array) -> dict[str, list[float]]:
    """Let each learn every row in turn; return what each step took, microseconds."""
    spent: dict[str, list[float]] = {who: [] for who in learn}
    for row in stream:
        for who, learn_one in learn.items():
            x = _features(row)
            start = time.perf_counter()
            learn_one(x)
            spent[who].append(1e6 * (time.perf_counter() - start))
    return spent


def _beside(name: str, cost: dict[str, float]) -> dict[str, float]:
    return {
        name: cost["ours"],
        f"{name}_stock": cost["stock"],
        f"{name}_ratio": cost["stock"] / cost["ours"],
    }


def _features(row: Array) -> dict[int, float]:
    return dict(enumerate(row.tolist()))
