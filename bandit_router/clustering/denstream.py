"""DenStream with its centres mirrored in a matrix: River's results, faster learning."""

from __future__ import annotations

from typing import Any

import numpy as np
from river import cluster
from river.cluster.denstream import DenStreamMicroCluster

from .matrix import Array, CenterMatrix

Features = dict[Any, float]
Clusters = dict[int, DenStreamMicroCluster]


class DenStream(cluster.DenStream):  # type: ignore[misc]
    """`river.cluster.DenStream`, which finds the closest micro-cluster in a matrix.

    Micro-clusters and predictions are those of River 0.26.1, its defects included (colliding
    keys, radii of 0, predictions that alter micro-clusters). The map's own level mends them.

    Parameters
    ----------
    decaying_factor, beta, mu, epsilon, n_samples_init, stream_speed
        As in River.
    """

    def __init__(
        self,
        decaying_factor: float = 0.25,
        beta: float = 0.75,
        mu: float = 2,
        epsilon: float = 0.02,
        n_samples_init: int = 1000,
        stream_speed: int = 100,
    ) -> None:
        super().__init__(
            decaying_factor=decaying_factor,
            beta=beta,
            mu=mu,
            epsilon=epsilon,
            n_samples_init=n_samples_init,
            stream_speed=stream_speed,
        )
        self._mirrors = (_Mirror(), _Mirror())

    def _get_closest_cluster_key(self, point: Features, clusters: Clusters) -> int:
        kinds = (self.p_micro_clusters, self.o_micro_clusters)
        for mirror, kind in zip(self._mirrors, kinds, strict=True):
            if clusters is kind and clusters:
                few = len(clusters) * (len(point) + 22) < _CROSSOVER
                key = None if few else mirror.closest(point, clusters)
                if key is not None:
                    return key
                mirror.forget()  # River's own search fills the caches that tell what changed
        return int(super()._get_closest_cluster_key(point, clusters))


_CROSSOVER = 2000  # below this many numbers or so, dicts are faster than arrays


class _Mirror:
    """The centres of a dict of micro-clusters as rows, brought up to date when asked.

    River sets a micro-cluster's cached centre to None whenever it changes, which tells the rows
    to read again; the cache is filled then, as River's own search would have filled it.
    """

    def __init__(self) -> None:
        self._keys: list[int] = []
        self._matrix = CenterMatrix([])

    def forget(self) -> None:
        """Read everything again when next asked."""
        self._matrix, self._keys = CenterMatrix([]), []

    def closest(self, point: Features, clusters: Clusters) -> int | None:
        """Return the key of the closest micro-cluster; None if features differ."""
        features = list(point)
        if not self._follow(clusters, features):
            return None
        vector = np.fromiter(point.values(), np.float64, len(features))
        return self._keys[self._matrix.nearest(vector)[0]]

    def _follow(self, clusters: Clusters, features: list[Any]) -> bool:
        changed = [(k, mc) for k, mc in clusters.items() if mc._center is None]
        keys, known = list(clusters), len(self._keys)
        if features != self._matrix.features or keys[:known] != self._keys:
            self._matrix = CenterMatrix(features)
            self._keys, known, changed = [], 0, []
        for row in range(known, len(keys)):
            center = _row(clusters[keys[row]], features)
            if center is None:
                return False
            self._matrix.append(row, center, 1.0, 0.0)
            self._keys.append(keys[row])
        for key, micro in changed:
            center = _row(micro, features)
            if center is None:
                return False
            self._matrix.move_one(keys.index(key), center)
        return True


def _row(micro: DenStreamMicroCluster, features: list[Any]) -> Array | None:
    center = micro.center
    if list(center) != features:
        if center.keys() != set(features):
            return None
        center = {feature: center[feature] for feature in features}
    return np.fromiter(center.values(), np.float64, len(features))
