"""DBSTREAM on one matrix: River's algorithm and results, at a fraction of its cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from river import cluster
from river.cluster.dbstream import DBSTREAMMicroCluster

from .matrix import Array, CenterMatrix

SharedDensity = dict[int, dict[int, float]]


class DBSTREAM(cluster.DBSTREAM):  # type: ignore[misc]
    """`river.cluster.DBSTREAM` with its centres in one contiguous matrix.

    Weights, shared densities, centres and predictions are those of River 0.26.1 to 1e-9, ids
    included, as long as `max_micro_clusters` is None. Every observation must carry the same
    features.

    Parameters
    ----------
    clustering_threshold, fading_factor, cleanup_interval, intersection_factor, minimum_weight
        As in River.
    max_micro_clusters
        Most micro-clusters alive at once; when one more is born the closest are merged.

    References
    ----------
    Hahsler and Bolaños (2016), Clustering Data Streams Based on Shared Density between
    Micro-Clusters, IEEE TKDE 28(6); `river.cluster.DBSTREAM`.

    Examples
    --------
    >>> from bandit_router.clustering import DBSTREAM
    >>> model = DBSTREAM(clustering_threshold=1.5)
    >>> for x in [(1, 0.5), (1, 0.6), (4, 2.0)]:
    ...     model.learn_one(dict(enumerate(x)))
    >>> model.predict_one({0: 1, 1: 1}), model.predict_one({0: 5, 1: 2})
    (0, 1)
    """

    def __init__(
        self,
        clustering_threshold: float = 1.0,
        fading_factor: float = 0.01,
        cleanup_interval: float = 2,
        intersection_factor: float = 0.3,
        minimum_weight: float = 1.0,
        max_micro_clusters: int | None = None,
    ) -> None:
        super().__init__(
            clustering_threshold=clustering_threshold,
            fading_factor=fading_factor,
            cleanup_interval=cleanup_interval,
            intersection_factor=intersection_factor,
            minimum_weight=minimum_weight,
        )
        self.max_micro_clusters = max_micro_clusters
        self._time_stamp: int = 0
        self._matrix = CenterMatrix([])

    # River's own code (reclustering, properties) reads micro-clusters from this dict; the
    # truth is the matrix.
    @property
    def _micro_clusters(self) -> dict[int, DBSTREAMMicroCluster]:
        matrix = self._matrix
        return {
            id_: DBSTREAMMicroCluster(
                x=dict(zip(matrix.features, center, strict=True)),
                last_update=int(updated),
                weight=weight,
            )
            for id_, center, updated, weight in zip(
                matrix.ids.tolist(),
                matrix.centers.tolist(),
                matrix.updated.tolist(),
                matrix.weights.tolist(),
                strict=True,
            )
        }

    @_micro_clusters.setter
    def _micro_clusters(self, value: dict[int, DBSTREAMMicroCluster]) -> None:
        if value:  # only River's constructor assigns, and it assigns {}
            raise AttributeError("micro-clusters live in the matrix")

    def learn_one(self, x: dict[Any, float], w: Any = None) -> None:
        """Learn one observation, a dict of features."""
        if not self._matrix.features:
            self._matrix = CenterMatrix(list(x))
        self.learn_vector(self._as_array(x))

    def learn_vector(self, x: Array) -> None:
        """Learn one observation, shape (dimension,)."""
        if not self._matrix.features:
            self._matrix = CenterMatrix(list(range(len(x))))
        self._absorb(x)
        if self._time_stamp % self.cleanup_interval == 0:
            self._cleanup()
        if self.max_micro_clusters and self._matrix.size > self.max_micro_clusters:
            self._merge_closest()
        self.clustering_is_up_to_date = False

    def nearest_micro_cluster(self, x: Array) -> tuple[int, float]:
        """Return id and distance of the micro-cluster closest to `x`, shape (dimension,)."""
        row, distance = self._matrix.nearest(x)
        return int(self._matrix.ids[row]), distance

    def predict_one(self, x: dict[Any, float], w: Any = None) -> int:
        """Return the macro-cluster that `x` falls into; 0 before anything is learnt."""
        self._recluster()
        if not self._centers:
            return 0
        labels = list(self._centers)
        centers = np.array([list(c.values()) for c in self._centers.values()])
        difference = centers - self._as_array(x)
        return int(labels[int(np.sqrt((difference**2).sum(axis=1)).argmin())])

    def _as_array(self, x: dict[Any, float]) -> Array:
        try:
            out = np.array([x[feature] for feature in self._matrix.features], dtype=np.float64)
        except KeyError as missing:
            raise ValueError(
                f"x lacks the feature {missing}, which earlier observations had"
            ) from None
        if len(out) != len(x):
            raise ValueError("x has features that earlier observations had not")
        return out

    def _new_id(self) -> int:
        ids = self._matrix.ids
        return int(ids[-1]) + 1 if len(ids) else 0

    def _absorb(self, x: Array) -> None:
        """Algorithm 1 of Hahsler and Bolaños, as River's `_update` has it."""
        matrix, t = self._matrix, self._time_stamp
        rows, distances = (
            matrix.within(x, self.clustering_threshold) if matrix.size else (None, None)
        )
        if rows is None or distances is None or not len(rows):
            matrix.append(self._new_id(), x, 1.0, t)
        else:
            weights, updated = matrix.weights, matrix.updated
            weights[rows] = weights[rows] * 2 ** (-self.fading_factor * (t - updated[rows])) + 1
            updated[rows] = t
            old = matrix.centers[rows]
            sigma = self.clustering_threshold / 3
            pull = np.exp(-(distances * distances) / (2 * (sigma * sigma)))
            new = old + pull[:, None] * (x - old)
            if len(rows) > 1:
                self._share_density(matrix.ids[rows].tolist(), t)
                self._prevent_collapse(old, new)
            matrix.move(rows, new)
        self._time_stamp = t + 1

    def _share_density(self, ids: list[int], t: int) -> None:
        for position, i in enumerate(ids[:-1]):
            row = self.s.setdefault(i, {})
            times = self.s_t.setdefault(i, {})
            for j in ids[position + 1 :]:
                row[j] = row[j] * 2 ** (-self.fading_factor * (t - times[j])) + 1 if j in row else 1
                times[j] = t

    def _prevent_collapse(self, old: Array, new: Array) -> None:
        """Take centres in `new` back to `old` where two of them came too close, in place.

        River goes through the pairs in order and looks at centres already taken back, so the
        outcome depends on that order; it is kept.
        """
        n = len(new)
        close = _pairwise(new, new) < self.clustering_threshold
        if close.sum() == n:  # the diagonal only
            return
        both = np.concatenate([new, old])
        close = _pairwise(both, both) < self.clustering_threshold
        place = list(range(n))
        for a in range(n):
            for b in range(a + 1, n):
                if close[place[a], place[b]]:
                    place[a], place[b] = n + a, n + b
        new[:] = both[place]

    def _cleanup(self) -> None:
        """Algorithm 2 of Hahsler and Bolaños, as River's `_cleanup` has it."""
        matrix, t = self._matrix, self._time_stamp
        weak_weight = 2 ** (-self.fading_factor * self.cleanup_interval)
        faded = matrix.weights * 2.0 ** (-self.fading_factor * (t - matrix.updated))
        weak = faded < weak_weight
        if weak.any():
            self._forget(matrix.ids[weak].tolist())
            matrix.keep(~weak)
        threshold = self.intersection_factor * weak_weight
        for i, row in self.s.items():
            times = self.s_t[i]
            for j, value in row.items():
                if value * 2.0 ** (-self.fading_factor * (t - times[j])) < threshold:
                    row[j] = times[j] = 0

    def _forget(self, ids: list[int]) -> None:
        for i in ids:
            self.s.pop(i, None)
            self.s_t.pop(i, None)
            for j in self.s:
                if j >= i:
                    break  # River's: it takes the keys to be ascending
                self.s[j].pop(i, None)
                self.s_t[j].pop(i, None)

    def _merge_closest(self) -> None:
        """Merge the closest micro-clusters until a twentieth of the bound is free again."""
        assert self.max_micro_clusters is not None
        excess = self._matrix.size - int(0.95 * self.max_micro_clusters)
        for heir, merged in _closest_pairs(self._matrix.centers, excess):
            self._merge(int(self._matrix.ids[heir]), int(self._matrix.ids[merged]))
        alive = self._matrix.weights > 0
        self._matrix.keep(alive)

    def _merge(self, a: int, b: int) -> tuple[int, int]:
        """Merge two micro-clusters into the heavier; return (heir, merged).

        The merged row stays, with weight 0, until the caller drops it.
        """
        matrix, t = self._matrix, self._time_stamp
        rows = np.array([matrix.row_of(a), matrix.row_of(b)])
        weights = matrix.weights[rows] * 2 ** (-self.fading_factor * (t - matrix.updated[rows]))
        if weights[1] > weights[0]:
            rows, weights, a, b = rows[::-1], weights[::-1], b, a
        total = float(weights.sum())
        center = (weights @ matrix.centers[rows]) / total if total else matrix.centers[rows[0]]
        matrix.move(rows[:1], center[None, :])
        matrix.weights[rows] = [total, 0.0]
        matrix.updated[rows] = t
        self._merge_density(a, b, t)
        return a, b

    def _merge_density(self, heir: int, merged: int, t: int) -> None:
        """Give the shared densities of `merged` to `heir`, faded to time `t`."""
        pairs = [(j, v, self.s_t[merged][j]) for j, v in self.s.get(merged, {}).items()]
        pairs += [(i, r[merged], self.s_t[i][merged]) for i, r in self.s.items() if merged in r]
        self._forget_exactly(merged)
        for other, value, time in pairs:
            if other == heir:
                continue
            low, high = sorted((heir, other))
            row, times = self.s.setdefault(low, {}), self.s_t.setdefault(low, {})
            faded = value * 2.0 ** (-self.fading_factor * (t - time))
            before = row.get(high, 0.0) * 2.0 ** (-self.fading_factor * (t - times.get(high, t)))
            row[high], times[high] = before + faded, t

    def _forget_exactly(self, i: int) -> None:
        self.s.pop(i, None)
        self.s_t.pop(i, None)
        for j in self.s:
            self.s[j].pop(i, None)
            self.s_t[j].pop(i, None)


def _pairwise(a: Array, b: Array) -> Array:
    """Distances between the rows of `a` and `b`, shape (len(a), len(b))."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2.0 * (a @ b.T)
    out: Array = np.sqrt(np.maximum(squares, 0.0))
    return out


def _closest_pairs(centers: Array, count: int) -> list[tuple[int, int]]:
    """Return `count` disjoint pairs of rows, closest first (fewer if rows run out)."""
    distances = _pairwise(centers, centers)
    upper = np.triu_indices(len(centers), k=1)
    order = np.argsort(distances[upper], kind="stable")
    taken: set[int] = set()
    pairs: list[tuple[int, int]] = []
    for k in order.tolist():
        i, j = int(upper[0][k]), int(upper[1][k])
        if i in taken or j in taken:
            continue
        taken |= {i, j}
        pairs.append((i, j))
        if len(pairs) == count:
            break
    return pairs
