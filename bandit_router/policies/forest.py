"""Pairwise random forests: for each pair of arms, by how much one beats the other.

scikit-learn grows the trees; they are kept as flat arrays, so that a state holds no pickle and
all trees of all pairs are walked at once.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bandits.belief import Array
from ..config import BanditSettings
from ..embedding.base import Projection
from .trained import Table, TrainedPolicy, mean_by_arm

_TREES = 30
_MOST_TREES = 6_000  # of all pairs together
_DEPTH = 6
_LEAF = 10

Index = NDArray[np.int64]


class ForestPolicy(TrainedPolicy):
    """The arm that is expected to beat the others by most, over the pairs that it is in.

    Each pair has a forest of regression trees on the difference of the two qualities, so that a
    cost weight needs no new forest. Costs are the arms' means. Of two arms that were hardly ever
    tried on the same prompt (a log has one answer to each) the difference is that of two forests,
    one an arm.

    References
    ----------
    Not Diamond (2024), RoRF: routing on random forests (pairwise forests over embeddings);
    Breiman (2001), Random forests.
    """

    name = "forest"

    def __init__(self, settings: BanditSettings, projection: Projection | None) -> None:
        super().__init__(settings, projection)
        self._nodes: dict[str, Any] = {}

    def fit(self, table: Table, rng: np.random.Generator) -> None:
        """Grow a forest for each pair of arms that were tried on the same prompts.

        An arm that lacks one with some other arm has a forest of its own; it is kept as the pair
        of the arm with itself.
        """
        arms = table.quality.shape[1]
        pairs = list(combinations(range(arms), 2))
        trees = max(1, min(_TREES, _MOST_TREES // max(len(pairs), 1)))
        grown = _Grown()
        alone: set[int] = set()
        for a, b in pairs:
            gap = table.quality[:, a] - table.quality[:, b]
            if not grown.grow(a, b, table.z, gap, trees, rng):
                alone |= {a, b}
        for a in sorted(alone):
            grown.grow(a, a, table.z, table.quality[:, a], trees, rng)
        mean = mean_by_arm(table.quality, 0.5)
        self._nodes = grown.arrays() | {"mean": mean, "cost": mean_by_arm(table.cost, np.nan)}

    def predict(self, z: Array) -> tuple[Array, Array]:
        """Return each arm's level (mean margin over the others + mean of all) and its cost."""
        nodes = self._nodes
        mean, at = nodes["mean"], nodes["root"].copy()
        for _ in range(_DEPTH):
            left = z[nodes["feature"][at]] <= nodes["threshold"][at]
            at = np.where(left, nodes["left"][at], nodes["right"][at])
        a, b = nodes["a"], nodes["b"]
        value = nodes["value"][at].reshape(len(a), -1).mean(axis=1) if len(at) else mean[:0]
        own, level = a == b, mean.copy()
        level[a[own]] = value[own]
        margin = level[:, None] - level[None, :]  # for pairs without a forest
        margin[a[~own], b[~own]], margin[b[~own], a[~own]] = value[~own], -value[~own]
        others = max(len(mean) - 1, 1)
        return mean.mean() + margin.sum(axis=1) / others, nodes["cost"]

    def fitted(self) -> dict[str, Any]:
        """Return the trees as arrays."""
        return dict(self._nodes)

    def refit(self, fitted: dict[str, Any]) -> None:
        """Take over what `fitted` returned."""
        self._nodes = dict(fitted)


class _Grown:
    """Trees appended one after another; a leaf leads to itself."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Any]] = {
            name: [] for name in ("feature", "threshold", "left", "right", "value")
        }
        self._roots: list[int] = []
        self._pairs: list[tuple[int, int]] = []
        self._size = 0

    def grow(
        self, a: int, b: int, z: Array, target: Array, trees: int, rng: np.random.Generator
    ) -> bool:
        """Append the trees of one pair, if enough is known of it; tell if so."""
        known = np.isfinite(target)
        if known.sum() < 2 * _LEAF:
            return False
        forest = _forest(z[known], target[known], trees, int(rng.integers(2**31)))
        self._pairs.append((a, b))
        for estimator in forest.estimators_:
            tree = estimator.tree_
            own = self._size + np.arange(tree.node_count)
            leaf = tree.children_left < 0
            self._parts["feature"].append(np.where(leaf, 0, tree.feature))
            self._parts["threshold"].append(tree.threshold)
            self._parts["left"].append(np.where(leaf, own, self._size + tree.children_left))
            self._parts["right"].append(np.where(leaf, own, self._size + tree.children_right))
            self._parts["value"].append(tree.value[:, 0, 0])
            self._roots.append(self._size)
            self._size += int(tree.node_count)
        return True

    def arrays(self) -> dict[str, Any]:
        """Return all trees, flat."""
        floats = ("threshold", "value")
        out: dict[str, Any] = {
            name: np.concatenate([np.zeros(0), *parts]).astype(
                np.float64 if name in floats else np.int64
            )
            for name, parts in self._parts.items()
        }
        pairs = np.array(self._pairs, dtype=np.int64).reshape(-1, 2)
        out |= {"root": np.array(self._roots, dtype=np.int64)}
        return out | {"a": pairs[:, 0].copy(), "b": pairs[:, 1].copy()}


def _forest(z: Array, gap: Array, trees: int, seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=trees,
        max_depth=_DEPTH,
        min_samples_leaf=_LEAF,
        max_features="sqrt",
        random_state=seed,
        n_jobs=1,
    )
    return forest.fit(z.astype(np.float32), gap)
