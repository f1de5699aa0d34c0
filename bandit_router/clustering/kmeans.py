"""k-means on one matrix: River's incremental and chunked variants, and their results."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from river import cluster

from .matrix import Array

Features = dict[Any, float]


class KMeans(cluster.KMeans):  # type: ignore[misc]
    """`river.cluster.KMeans` with its centres in one contiguous matrix.

    Centres and predictions are those of River 0.26.1. River draws a centre's coordinate when it
    first meets the feature; as soon as an observation brings other features than the first did,
    River's own code takes over.

    Parameters
    ----------
    n_clusters, halflife, mu, sigma, p, seed
        As in River.

    Examples
    --------
    >>> from bandit_router.clustering import KMeans
    >>> model = KMeans(n_clusters=2, halflife=0.1, sigma=3, seed=42)
    >>> for x in [(1, 2), (1, 4), (1, 0), (-4, 2), (-4, 4), (-4, 0)]:
    ...     model.learn_one(dict(enumerate(x)))
    >>> model.predict_one({0: 0, 1: 0}), model.predict_one({0: 4, 1: 4})
    (0, 1)
    """

    def __init__(
        self,
        n_clusters: int = 5,
        halflife: float = 0.5,
        mu: float = 0,
        sigma: float = 1,
        p: int = 2,
        seed: int | None = None,
    ) -> None:
        self._features: list[Any] | None = None
        self._rows = np.empty((0, 0))
        self._drawn: dict[int, defaultdict[Any, float]] = {}
        super().__init__(
            n_clusters=n_clusters, halflife=halflife, mu=mu, sigma=sigma, p=p, seed=seed
        )

    @property
    def centers(self) -> dict[int, defaultdict[Any, float]]:
        """The centres as River has them; a copy once observations have come."""
        if self._features is None:
            return self._drawn
        return {
            name: defaultdict(
                self._drawn[name].default_factory, zip(self._features, row, strict=True)
            )
            for name, row in zip(self._drawn, self._rows.tolist(), strict=True)
        }

    @centers.setter
    def centers(self, value: dict[int, defaultdict[Any, float]]) -> None:
        self._drawn = value
        self._features = None

    @property
    def center_rows(self) -> Array:
        """The centres by cluster, shape (n_clusters, dimension); empty before any observation."""
        return self._rows

    @center_rows.setter
    def center_rows(self, rows: Array) -> None:
        self._features = list(range(rows.shape[1])) if len(rows) else None
        self._rows = rows

    def learn_predict_one(self, x: Features) -> int:
        """Learn an observation and return its cluster."""
        vector = self._as_array(x)
        if vector is None:
            return int(super().learn_predict_one(x))
        return self.learn_vector(vector)

    def learn_vector(self, x: Array) -> int:
        """Learn one observation, shape (dimension,), and return its cluster."""
        if self._features is None:
            return self.learn_predict_one(dict(enumerate(x.tolist())))
        closest = self.nearest(x)
        self._rows[closest] += self.halflife * (x - self._rows[closest])
        return closest

    def predict_one(self, x: Features) -> int:
        """Return the cluster whose centre is closest."""
        vector = self._as_array(x)
        return int(super().predict_one(x)) if vector is None else self.nearest(vector)

    def nearest(self, x: Array) -> int:
        """Return the cluster whose centre is closest to `x`, shape (dimension,)."""
        apart = self._rows - x
        if self.p == 2:
            return int(np.vecdot(apart, apart).argmin())
        return int((np.abs(apart) ** self.p).sum(axis=1).argmin())

    def _as_array(self, x: Features) -> Array | None:
        """The values of `x`; None if River's own code must take it."""
        if self._features is None:
            if any(self._drawn.values()) or not x:
                return None
            super().predict_one(x)  # draws every coordinate, in River's order
            self._rows = np.array([[c[f] for f in x] for c in self._drawn.values()])
            self._features = list(x)
        if list(x) == self._features:
            return np.fromiter(x.values(), np.float64, len(x))
        if x.keys() == set(self._features):
            return np.array([x[feature] for feature in self._features])
        self.centers = self.centers  # into dicts, for good
        return None


class STREAMKMeans(cluster.STREAMKMeans):  # type: ignore[misc]
    """`river.cluster.STREAMKMeans` over the matrix of `KMeans`, with River's results.

    Parameters
    ----------
    chunk_size, n_clusters
        As in River.
    **kwargs
        Further arguments of `KMeans`.

    Examples
    --------
    >>> from bandit_router.clustering import STREAMKMeans
    >>> model = STREAMKMeans(chunk_size=3, n_clusters=2, halflife=0.5, sigma=1.5, seed=0)
    >>> for x in [(1, 0.5), (1, 0.6), (1, 0.7), (4, 1.5), (4, 2.2), (4, 2.5)]:
    ...     model.learn_one(dict(enumerate(x)))
    >>> model.predict_one({0: 1, 1: 0}) in (0, 1)
    True
    """

    def __init__(self, chunk_size: int = 10, n_clusters: int = 2, **kwargs: Any) -> None:
        super().__init__(chunk_size=chunk_size, n_clusters=n_clusters, **kwargs)
        self._kmeans = KMeans(n_clusters=n_clusters, **kwargs)

    @property
    def centers(self) -> dict[int, defaultdict[Any, float]]:
        """The centres as River has them; empty before any observation."""
        return self._kmeans.centers if self.time_stamp else {}

    @centers.setter
    def centers(self, value: Any) -> None:
        """River's constructor assigns; the centres are those of the k-means inside."""

    @property
    def center_rows(self) -> Array:
        """The centres by cluster, shape (n_clusters, dimension); empty before the first chunk."""
        return self._kmeans.center_rows

    def learn_one(self, x: Features, w: Any = None) -> None:
        """Learn one observation; centres move when a chunk is full."""
        self.time_stamp += 1
        index = self.time_stamp % self.chunk_size
        if index == 1:
            self._temp_chunk = {}
        self._temp_chunk[(index or self.chunk_size) - 1] = x
        if index == 0:
            chunk = KMeans(n_clusters=self.n_clusters, **self.kwargs)
            for point in self._temp_chunk.values():
                chunk.learn_one(point)
            for center in chunk.centers.values():
                self._kmeans.learn_one(center)

    def predict_one(self, x: Features, w: Any = None) -> int:
        """Return the cluster whose centre is closest."""
        if len(self.center_rows) and self._kmeans._features is not None:
            vector = self._kmeans._as_array(x) if len(x) == self.center_rows.shape[1] else None
            if vector is not None:
                apart = self.center_rows - vector
                return int(np.vecdot(apart, apart).argmin())
        return int(super().predict_one(x))
