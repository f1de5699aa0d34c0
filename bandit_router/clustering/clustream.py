"""CluStream with its centres mirrored in a matrix: River's results, faster learning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from river import cluster
from river.cluster.clustream import CluStreamMicroCluster

from .kmeans import KMeans
from .matrix import Array, CenterMatrix

Features = dict[Any, float]


class CluStream(cluster.CluStream):  # type: ignore[misc]
    """`river.cluster.CluStream`, which finds closest micro-clusters and pairs in a matrix.

    Micro-clusters, centres and predictions are those of River 0.26.1, its reused slots
    included. As soon as an observation brings other features than the first did, River's own
    code takes over.

    Parameters
    ----------
    n_macro_clusters, max_micro_clusters, micro_cluster_r_factor, time_window, time_gap, seed
        As in River.
    **kwargs
        Further arguments of `KMeans`, which makes the macro-clusters.
    """

    def __init__(
        self,
        n_macro_clusters: int = 5,
        max_micro_clusters: int = 100,
        micro_cluster_r_factor: int = 2,
        time_window: int = 1000,
        time_gap: int = 100,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            n_macro_clusters=n_macro_clusters,
            max_micro_clusters=max_micro_clusters,
            micro_cluster_r_factor=micro_cluster_r_factor,
            time_window=time_window,
            time_gap=time_gap,
            seed=seed,
            **kwargs,
        )
        self._matrix: CenterMatrix | None = CenterMatrix([])
        self._stamps: list[float] = []  # relevance of each micro-cluster, by row

    @property
    def center_rows(self) -> Array:
        """Centres of the micro-clusters in order of slot, shape (slots, dimension)."""
        if self._matrix is not None:
            return self._matrix.centers
        return np.array([list(mc.center.values()) for mc in self.micro_clusters.values()])

    def learn_one(self, x: Features, w: float = 1.0) -> None:
        """Learn one observation."""
        matrix = self._matrix
        if matrix is not None and not matrix.features:
            matrix = self._matrix = CenterMatrix(list(x))
        vector = None if matrix is None else _as_array(x, matrix.features)
        if matrix is None or vector is None:
            self._matrix = None
            super().learn_one(x, w)
            return
        if not self._initialized:
            super().learn_one(x, w)
            self._renew(len(self.micro_clusters) - 1)
            return
        self._timestamp += 1
        self._place(x, w, vector, matrix)
        if self._timestamp % self.time_gap == self.time_gap - 1:
            self._group()

    def _place(self, x: Features, w: float, vector: Array, matrix: CenterMatrix) -> None:
        row, distance = matrix.nearest(vector)
        closest = self.micro_clusters[row]
        if closest.weight == 1:
            radius = self._to_the_next(row, matrix)
        else:
            radius = closest.radius(self.micro_cluster_r_factor)
        if distance < radius:
            closest.insert(x, w, self._timestamp)
            self._renew(row)
        else:
            self._maintain_micro_clusters(x, w)

    def _to_the_next(self, row: int, matrix: CenterMatrix) -> float:
        """Distance from a micro-cluster to the one closest to it."""
        apart = matrix.centers - matrix.centers[row]
        squares = np.vecdot(apart, apart)
        squares[row] = math.inf
        return math.sqrt(squares.min())

    def _maintain_micro_clusters(self, x: Features, w: float) -> None:
        """Make room for `x`: in the slot of an outdated micro-cluster, else of a merged one."""
        if self._matrix is None:
            super()._maintain_micro_clusters(x, w)
            return
        threshold = self._timestamp - self.time_window
        slot = next((i for i, stamp in enumerate(self._stamps) if stamp < threshold), None)
        if slot is None:
            heir, slot = self._closest_two()
            self.micro_clusters[heir] += self.micro_clusters[slot]
            self._renew(heir)
        self.micro_clusters[slot] = CluStreamMicroCluster(x=x, w=w, timestamp=self._timestamp)
        self._renew(slot)

    def _closest_two(self) -> tuple[int, int]:
        """The slots of the closest pair, the higher first; of equals the first as River looks."""
        assert self._matrix is not None
        if self._matrix.size < 2:
            return 0, 0
        pairs = [(max(p), min(p)) for p in self._matrix.closest_pairs()]
        if len(pairs) == 1:
            return pairs[0]
        center = {i: self.micro_clusters[i].center for pair in pairs for i in pair}
        return min(sorted(pairs), key=lambda p: self._distance(center[p[0]], center[p[1]]))

    def _renew(self, row: int) -> None:
        """Read a micro-cluster's centre and relevance again."""
        assert self._matrix is not None
        micro = self.micro_clusters[row]
        center = np.fromiter((micro.center[f] for f in self._matrix.features), np.float64)
        stamp = micro.relevance_stamp(self.max_micro_clusters)
        if row == self._matrix.size:
            self._matrix.append(row, center, 1.0, 0.0)
            self._stamps.append(stamp)
        else:
            self._matrix.move_one(row, center)
            self._stamps[row] = stamp

    def _group(self) -> None:
        """Make the macro-clusters anew."""
        self._mc_centers = {i: mc.center for i, mc in self.micro_clusters.items()}
        self._kmeans_mc = KMeans(n_clusters=self.n_macro_clusters, seed=self.seed, **self.kwargs)
        for center in self._mc_centers.values():
            self._kmeans_mc.learn_one(center)
        self.centers = self._kmeans_mc.centers

    def _get_closest_mc(self, x: Features) -> tuple[int, float]:
        vector = None if self._matrix is None else _as_array(x, self._matrix.features)
        if self._matrix is None or vector is None or not self._matrix.size:
            found: tuple[int, float] = super()._get_closest_mc(x)
            return found
        return self._matrix.nearest(vector)


def _as_array(x: Features, features: list[Any]) -> Array | None:
    if list(x) == features:
        return np.fromiter(x.values(), np.float64, len(x))
    if len(x) != len(features) or any(feature not in x for feature in features):
        return None
    return np.array([x[feature] for feature in features])
